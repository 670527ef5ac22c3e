// Files that a person edits while a transaction over several storages of their database runs.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { projectInput, warningOf, withDirectory } from './support/index.js'
import { Things, thing } from './support/things.js'
import { ProjectStorageV2 } from '../index.js'

const dataDir = 'data/project_storage'

/** The storages that may begin the transaction. Only the first needs a schema to adopt an edited file. */
const beginners = {
  'a storage with a schema': (base: string) => new Things({ basePath: base, dataDir, file: `${dataDir}/others.json` }),
  'a storage without one': (base: string) => new ProjectStorageV2({ basePath: base }),
}

const moments = { 'a step of another storage': true, 'the commit': false }

for (const [beginner, open] of Object.entries(beginners)) {
  for (const [moment, hasStep] of Object.entries(moments)) {
    test(`a file edited before ${moment} is adopted, in a transaction of ${beginner}`, withDirectory(async ({ base }) => {
      const file = join(base, dataDir, 'things.json')
      const earlier = new Things({ basePath: base, dataDir })
      const { id } = await earlier.create({ name: 'one' })
      await earlier.close()
      const things = new Things({ basePath: base, dataDir })
      const storage = open(base)
      let attempts = 0
      const warning = await warningOf('SNAPSHOT_CHANGED', () => storage.transaction(async (tx) => {
        attempts += 1
        const found = await tx.in(things).getById(id)
        await tx.in(things).update(id, { size: found!.size + 1 })
        if (attempts === 1) {
          writeFileSync(file, JSON.stringify({ [id]: { ...thing(id), name: ' edited ', size: 5 } }))
          things.clearCache()
        }
        if (hasStep) await tx.list()
        else await (tx as { create(data: unknown): Promise<unknown> }).create(projectInput('new'))
      }))
      assert.match(warning.message, /things\.json/)
      assert.equal(attempts, 2)
      const { name, size } = (await things.getById(id))!
      assert.deepEqual([name, size], ['edited', 6])
      await things.close()
      await storage.close()
    }))
  }
}
