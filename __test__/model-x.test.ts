// Random calls on several instances of one directory and in another process, each compared with a model made of plain maps.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect, isDeepStrictEqual } from 'node:util'
import { ProjectStorageV2 } from '../index.js'
import { withDirectory } from './support/index.js'
import { Model } from './support/model.js'
import { documentsIn, performersIn } from './support/performers.js'
import { callsFor } from './support/random-calls.js'

const SEEDS = 300
const CALLS = 200

describe('calls on several instances, and in several processes, in turns', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`are answered as plain maps would answer them, whatever callers do with the objects: sequence ${seed}`, withDirectory(async ({ base }) => {
      const model = new Model()
      const next = callsFor(model, seed * 7919)
      const [some, other] = [performersIn(base, [{}, { cacheEnabled: false }, { maxCacheSize: 2, cacheTTL: 1 }]), performersIn(base, [{}])]
      const told: object[] = []
      try {
        for (let n = 0; n < CALLS; n++) {
          const call = next()
          const at = (n * seed) % 4
          const answer = await (at === 3 ? other.perform(0, call) : some.perform(at, call))
          const expected = model.answer(call, answer)
          told.push({ at, ...call })
          if (!isDeepStrictEqual(answer, expected)) assert.deepEqual(answer, expected, inspect(told.slice(-20), { depth: 6 }))
        }
      } finally {
        await some.close()
        await other.close()
      }
      assert.deepEqual(documentsIn(base, 'projects.json'), model.list('projects'))
      assert.deepEqual(documentsIn(base, 'notes.json'), model.list('notes'))
      for (const id of [...model.projects.keys(), 4711]) assert.deepEqual(documentsIn(base, `project_data/${id}/files.json`), model.list(id))
      const storage = new ProjectStorageV2({ basePath: base })
      const report = await storage.verify()
      assert.ok(report.ok, String(report))
      await storage.close()
    }))
  }
})
