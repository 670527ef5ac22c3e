// Reads a file that another program wrote, or writes, and then has nothing more to do. The timeout is several weeks.
import { join } from 'node:path'
import { BaseStorage } from '../../index.mjs'

const [base, what] = process.argv.slice(2)
const controller = new AbortController()
const isLeft = what === 'a validation that no call waits for'
const validate = (value) => {
  // By then, the call waits for this validation.
  if (isLeft) setImmediate(() => controller.abort())
  return isLeft ? new Promise(() => {}) : { value }
}
const schema = { '~standard': { version: 1, vendor: 'test', validate } }

class Things extends BaseStorage {
  constructor() {
    super(schema, schema, 'data', { basePath: base, lockTimeout: 2 ** 31 - 1 })
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'things.json')
  }
}

const things = new Things()
const isWriting = what === 'a write that waited for another'
const call = isWriting ? Promise.all([things.create({ name: 'b' }), things.create({ name: 'c' })]) : things.list({ signal: controller.signal })
if (what === 'an aborted call') controller.abort()
call.then(() => console.log('done'), ({ code }) => console.log(code))
