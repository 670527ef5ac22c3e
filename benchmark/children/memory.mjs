// Prints the resident memory after opening a database and reading one of its files. Arguments: peer, path, id.
import { collectGarbage, expect } from '../lib/measure.mjs'
import { loadPeers } from '../peers/index.mjs'

const [peer, path, id] = process.argv.slice(2)
const { peers } = await loadPeers()
const instance = await peers[peer].open(path, { cacheEnabled: false })
expect(await instance.byId(Number(id)))
for (let round = 0; round < 3; round++) {
  collectGarbage()
  await new Promise((resolve) => setTimeout(resolve, 50))
}
console.log(JSON.stringify({ resident: process.memoryUsage().rss }))
process.exit()
