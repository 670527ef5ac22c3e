// Continues although subscribers throw: what they throw is an uncaught exception of their own, not an error of the call.
import { channel } from 'node:diagnostics_channel'
import { ProjectStorageV2 } from '../../index.mjs'

let thrown = 0
process.on('uncaughtException', () => {
  thrown += 1
})
for (const kind of ['write', 'read']) {
  channel(`octoprompt-storage:${kind}`).subscribe(() => {
    throw new Error('a subscriber')
  })
}
const storage = new ProjectStorageV2({ basePath: process.argv[2] })
await storage.create({ name: 'a', path: '/a' })
console.log('created')
await storage.query({})
console.log('read')
await new Promise((resolve) => setImmediate(resolve))
console.log(`thrown ${thrown}`)
await storage.close()
