// Reads a file that somebody else wrote, and has nothing more to do then. Time runs out in weeks only.
import { join } from 'node:path'
import { BaseStorage } from '../../index.mjs'

const [base, what] = process.argv.slice(2)
const controller = new AbortController()
const isLeft = what === 'a file that is not judged any more'
const validate = (value) => {
  // The call waits for this judgement then.
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

const list = new Things().list({ signal: controller.signal })
if (what === 'a call that was given up') controller.abort()
list.then(() => console.log('done'), ({ code }) => console.log(code))
