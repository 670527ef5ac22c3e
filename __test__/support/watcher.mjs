// Listens to checkpoints, creates a project, and is then done: it does not wait for the checkpoint that follows.
import { channel } from 'node:diagnostics_channel'
import { ProjectStorageV2 } from '../../index.mjs'

channel('octoprompt-storage:checkpoint').subscribe(() => console.log('checkpoint'))
const storage = new ProjectStorageV2({ basePath: process.argv[2] })
await storage.create({ name: 'a', path: '/a' })
console.log('created')
