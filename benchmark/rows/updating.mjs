// Giving new content to one file of many.
import { content, sample } from '../lib/data.mjs'
import { interleave } from '../lib/measure.mjs'
import { eachWrite, sidesOf } from '../lib/sides.mjs'

export async function updating(bench, { opened, ids }) {
  let n = 0
  const figures = await interleave(bench.rounds, sidesOf(opened, (instance, Peer, peer) => (round) => {
    const changes = sample(ids[peer], 50).map((id) => ({ id, patch: { content: content(n++, round) } }))
    return eachWrite(instance, changes, ({ id, patch }) => instance.update(id, patch))
  }))
  const work = `update a file of ${bench.total.toLocaleString('en')}, one after another`
  bench.add({ id: 'update', work, unit: 'µs', writes: true, figures })
}
