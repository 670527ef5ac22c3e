// Makes a call with a homemade signal, which throws when a listener is added, and then has nothing more to do.
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
