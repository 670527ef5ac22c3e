// Bytes passed to the file system for each byte that changed, over a long run of edits and until the database is closed.
import { readFileSync } from 'node:fs'
import { content, files, sample } from '../lib/data.mjs'
import { pathOf } from '../lib/sides.mjs'

/**
 * Returns what this process has written; undefined if the system does not say. `write_bytes` would not do: if the page cache
 * has large pages, it counts a whole page for each byte that is changed in it.
 */
function bytesWritten() {
  if (process.platform !== 'linux') return undefined
  return Number(readFileSync('/proc/self/io', 'utf8').match(/^wchar: (\d+)$/m)[1])
}

export async function written(bench) {
  if (bytesWritten() === undefined) return
  const edits = bench.quick ? 1000 : 10_000
  const figures = {}
  for (const [peer, Peer] of Object.entries(bench.peers)) {
    const path = pathOf(bench.directory, 'written', peer)
    const filling = await Peer.open(path)
    const ids = await filling.createMany(files(bench.total))
    await filling.close()
    const instance = await Peer.open(path)
    const some = sample(ids, Peer.slowWrites ? 20 : edits)
    const before = bytesWritten()
    let changed = 0
    for (const [n, id] of some.entries()) {
      const text = content(n, 5)
      changed += text.length
      await instance.update(id, { content: text })
    }
    await instance.close()
    figures[peer] = [(bytesWritten() - before) / changed]
    bench.remove('written')
  }
  const work = `bytes written for each byte changed, ${edits.toLocaleString('en')} edits of ${bench.total.toLocaleString('en')} files`
  bench.add({ id: 'written', work, unit: 'bytes', writes: true, figures })
}
