// Resident memory for each file of an open project: that of a process with many files, minus that of one with a single file.
import { files } from '../lib/data.mjs'
import { measureInChild } from '../lib/child.mjs'
import { median } from '../lib/measure.mjs'
import { pathOf } from '../lib/sides.mjs'

export async function memory(bench) {
  const count = bench.quick ? 4000 : 12_000
  const figures = {}
  for (const [peer, Peer] of Object.entries(bench.peers)) {
    const sizes = {}
    for (const size of [1, count]) {
      const path = pathOf(bench.directory, `memory${size}`, peer)
      const instance = await Peer.open(path)
      const ids = []
      for (let at = 0; at < size; at += 4000) ids.push(...(await instance.createMany(files(Math.min(4000, size - at), at))))
      await instance.close()
      const measured = Array.from({ length: 3 }, () => measureInChild('memory.mjs', peer, path, ids[0]))
      sizes[size] = median(measured.map(({ resident }) => resident))
      bench.remove(`memory${size}`)
    }
    figures[peer] = [Math.max(0, (sizes[count] - sizes[1]) / (count - 1))]
  }
  bench.add({ id: 'memory', work: 'memory for each 4 KB file of an open project', unit: 'bytes', figures })
}
