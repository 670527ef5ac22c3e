// How often the event loop turns while a call is under way.

/** Runs something and gives the turns in which `note` was called meanwhile, numbered, in the order of the calls. */
export async function turnsOf(run: (note: () => void) => Promise<unknown>): Promise<number[]> {
  const turns: number[] = []
  let turn = 0
  let watching = true
  const turning = () => {
    turn += 1
    if (watching) setImmediate(turning)
  }
  turning()
  try {
    await run(() => turns.push(turn))
  } finally {
    watching = false
  }
  return turns
}

/** The turns in which long JSON texts are read while something runs: the pieces of answers. `work` is called with each. */
export async function turnsOfPieces(run: () => Promise<unknown>, work = () => {}): Promise<number[]> {
  const parse = JSON.parse
  return turnsOf(async (note) => {
    JSON.parse = (text: string, ...rest) => {
      if (text.length > 2000) {
        note()
        work()
      }
      return parse(text, ...rest)
    }
    try {
      await run()
    } finally {
      JSON.parse = parse
    }
  })
}
