// How often the event loop turns while a call is in progress.

/** Runs something and returns the turns in which `note` was called, numbered, in the order of the calls. */
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

/** Returns the turns in which long JSON texts, the pieces of answers, are parsed while `run` runs; calls `work` in each. */
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
