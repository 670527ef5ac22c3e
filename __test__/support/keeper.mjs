// Keeps a storage open until the process is killed; prints its process id once the storage is open. Argument: base path.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const storage = new ProjectStorageV2({ basePath: process.argv[2] })
await storage.list()
writeSync(1, `${process.pid}\n`)
setInterval(() => storage, 1_000)
