// Creates projects from a worker thread: either ten, whose ids it posts as one message, or endlessly, posting each id.
import { parentPort, workerData } from 'node:worker_threads'
import { ProjectStorageV2 } from '../../index.mjs'

const { base, tag, endless } = workerData
const storage = new ProjectStorageV2({ basePath: base })
const create = async (n) => (await storage.create({ name: `${tag} ${n}`, path: `/${tag}/${n}` })).id

if (endless) {
  for (let n = 0; ; n++) parentPort.postMessage(await create(n))
} else {
  const ids = await Promise.all(Array.from({ length: 10 }, (_, n) => create(n)))
  await storage.close()
  parentPort.postMessage(ids)
}
