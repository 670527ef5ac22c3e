// Migrates every project to a version, one write at a time; may be killed at any moment. Arguments: base path, version.
import { writeSync } from 'node:fs'
import { MigrationManager, ProjectStorageV2 } from '../../index.mjs'

const [base, version] = process.argv.slice(2)
const manager = new MigrationManager(base, { logger: null, lockTimeout: 60_000 })
manager.register({
  version,
  description: `describes all projects as ${version}`,
  async up({ basePath }) {
    writeSync(1, 'begun\n')
    const storage = new ProjectStorageV2({ basePath })
    for (const { id } of await storage.list()) await storage.update(id, { description: version })
    await storage.close()
  },
})
await manager.migrate()
await manager.close()
