// Listens to changes that never come, and lets the process exit. Argument: base path.
import { ProjectStorageV2 } from '../../index.mjs'

const storage = new ProjectStorageV2({ basePath: process.argv[2] })
storage.on('change', () => {})
void storage.changes().next()
await storage.sequence()
console.log('listening')
