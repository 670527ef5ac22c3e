// Calls with a signal of its own making, which throws when it is listened to, and has nothing more to do then.
import { ProjectStorageV2 } from '../../index.mjs'

const storage = new ProjectStorageV2({ basePath: process.argv[2] })
const signal = {
  aborted: false,
  addEventListener() {
    throw new Error('no listeners here')
  },
  removeEventListener() {},
}
console.log(await storage.query({ signal }).catch((error) => error.message))
