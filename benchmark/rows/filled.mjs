// A project of many files of 4 KB in every peer, on which reading, updating and opening are measured.
import { files } from '../lib/data.mjs'
import { openAll } from '../lib/sides.mjs'

export async function fill(bench, name = 'filled') {
  const items = files(bench.total)
  const opened = await openAll(bench, name)
  const ids = {}
  for (const [peer, instance] of Object.entries(opened)) {
    ids[peer] = await instance.createMany(items)
    // The JSON files must not be written while reading is measured.
    if (peer === 'ours') await instance.checkpoint()
  }
  return { opened, ids, paths: items.map(({ path }) => path) }
}
