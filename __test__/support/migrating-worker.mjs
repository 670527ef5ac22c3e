// A worker thread that begins a migration that never ends and keeps writing. Posts a message once it has made a change of
// each kind.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parentPort, workerData as base } from 'node:worker_threads'
import { MigrationManager, ProjectStorageV2 } from '../../index.mjs'

const manager = new MigrationManager(base, { logger: null })
manager.register({
  version: '1.0.0',
  description: 'never ends',
  async up({ basePath }) {
    const storage = new ProjectStorageV2({ basePath })
    const create = () => storage.create({ name: 'made by the migration', path: '/new' })
    await create()
    await writeFile(join(basePath, 'data', 'notes.txt'), 'changed')
    parentPort.postMessage('changed')
    // Some calls are always waiting.
    for (;;) await Promise.race(Array.from({ length: 50 }, create))
  },
})
await manager.migrate()
