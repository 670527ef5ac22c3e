//! OctoPrompt's own types and rules on top of the engine.
