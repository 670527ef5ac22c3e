// Listens to checkpoints and creates a project, and is then done: the checkpoint that follows is not waited for.
import { channel } from 'node:diagnostics_channel'
import { ProjectStorageV2 } from '../../index.mjs'

channel('octoprompt-storage:checkpoint').subscribe(() => console.log('checkpoint'))
const storage = new ProjectStorageV2({ basePath: process.argv[2] })
await storage.create({ name: 'a', path: '/a' })
console.log('created')
