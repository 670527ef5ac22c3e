// A worker thread that begins a migration and never ends it; posts a message when its changes are made.
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
    await storage.create({ name: 'made by the migration', path: '/new' })
    await writeFile(join(basePath, 'data', 'notes.txt'), 'changed')
    parentPort.postMessage('changed')
    await new Promise((resolve) => setTimeout(resolve, 2 ** 30))
  },
})
await manager.migrate()
