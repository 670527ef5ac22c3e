// Random calls on the managers of one directory, in two processes, compared with a model made of plain maps.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect, isDeepStrictEqual } from 'node:util'
import { IndexManager } from '../index.js'
import { explained, type Made } from './support/explained.js'
import { withDirectory } from './support/index.js'
import { IndexModel, indexCallsFor, LOOKS } from './support/index-model.js'
import { performersIn } from './support/performers.js'
import { choicesFrom } from './support/random-calls.js'

const SEEDS = 3
const GROUPS = 60

describe('calls on the managers of a directory', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`are answered as one after another in some order: sequence ${seed}`, withDirectory(async ({ base }) => {
      let model = new IndexModel()
      const next = indexCallsFor(seed * 7919)
      const { below } = choicesFrom(seed * 104729)
      const processes = [performersIn(base, [{}, {}]), performersIn(base, [{}])] as const
      const places = [[0, 0], [0, 1], [1, 0]] as const
      let moment = 0
      try {
        for (let n = 0; n < GROUPS; n++) {
          const placed = Array.from({ length: 1 + below(6) }, () => ({ call: next(), place: below(places.length) }))
          const made: Made[] = []
          await Promise.all(processes.flatMap((process, number) => {
            const own = placed.filter(({ place }) => places[place]![0] === number)
            return process.together(own.map(({ call, place }) => ({ at: places[place]![1], call }))).map(async (promise, at) => {
              const one: Made = { call: own[at]!.call, answer: undefined, began: (moment += 1), ended: Infinity }
              made.push(one)
              one.answer = await promise
              one.ended = moment += 1
            })
          }))
          const looks = await Promise.all(places.map(([process, at]) => Promise.all(processes[process].together(LOOKS.map((call) => ({ at, call }))))))
          const seen = LOOKS.map((call, at): Made => ({ call, answer: looks[0]![at], began: Infinity, ended: Infinity }))
          const found = explained(model, [...made, ...seen])
          if (found === undefined) assert.fail(`group ${n} is not explained: ${inspect({ model, made, seen }, { depth: 7, breakLength: 200, compact: 20 })}`)
          model = found
          for (const look of looks) if (!isDeepStrictEqual(look, looks[0])) assert.deepEqual(look, looks[0], `after group ${n}: ${inspect(made, { depth: 6 })}`)
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
