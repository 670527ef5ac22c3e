//! The binding between the engine and JavaScript.
