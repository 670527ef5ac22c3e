// Random calls on the managers of one directory, in two processes, compared with a model made of plain maps.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { IndexManager } from '../index.js'
import { explained, isRead, type Made } from './support/explained.js'
import { withDirectory } from './support/index.js'
import { IndexModel, indexCallsFor, LOOKS } from './support/index-model.js'
import { madeTogether, performersIn, seenEverywhere } from './support/performers.js'
import { choicesFrom } from './support/random-calls.js'

const SEEDS = 3
const GROUPS = 60

describe('calls on the managers of a directory', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`are answered as one after another in some order: sequence ${seed}`, withDirectory(async ({ base }) => {
      let model = new IndexModel()
      const next = indexCallsFor(seed * 7919)
      const { below, oneOf } = choicesFrom(seed * 104729)
      const processes = [performersIn(base, [{}, {}]), performersIn(base, [{}])] as const
      const places = [[0, 0], [0, 1], [1, 0]] as const
      try {
        for (let n = 0; n < GROUPS; n++) {
          // A group of one manager also keeps the order of its writes.
          const single = n % 2 === 0 ? oneOf(places) : undefined
          const placed = Array.from({ length: 1 + below(6) }, () => ({ call: next(), place: single ?? oneOf(places) }))
          const made: Made[] = await madeTogether(processes, placed)
          for (const one of made) if (single && !isRead(one.call) && one.answer === undefined) one.order = 'writes'
          const seen = await seenEverywhere(processes, places, LOOKS, `after group ${n}`)
          const found = explained(model, [...made, ...seen])
          if (found === undefined) assert.fail(`group ${n} is not explained: ${inspect({ model, made, seen }, { depth: 7, breakLength: 200, compact: 20 })}`)
          model = found
        }
      } finally {
        await Promise.all(processes.map((process) => process.close()))
      }
      const manager = new IndexManager(base, 'data/indexed')
      const report = await manager.verify()
      assert.ok(report.ok, String(report))
      assert.deepEqual(await manager.listIndexes(), model.answer({ target: 'indexes', method: 'listIndexes', args: [] }, []))
      await manager.close()
    }))
  }
})
