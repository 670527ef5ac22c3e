// Reads of single files and of lists.
import { Ours } from '../peers/ours.mjs'
import { content, record, sample } from '../lib/data.mjs'
import { expect, interleave, perItem } from '../lib/measure.mjs'
import { eachRead, pathOf, sidesOf } from '../lib/sides.mjs'

export async function reading(bench, { opened, ids, paths }) {
  const uncached = await Ours.open(pathOf(bench.directory, 'filled', 'ours'), { cacheEnabled: false })
  // The peers nedb and JSON file have everything in memory; SQLite and lmdb read from their own page caches.
  const cold = { ...opened, ours: uncached }
  const { rounds, fewRounds, total } = bench

  // The cache holds 100 entries unless more are asked for.
  const repeated = sidesOf(opened, (instance, Peer, peer) => {
    const few = Array.from({ length: 40 }, () => sample(ids[peer], 50)).flat()
    return () => eachRead(instance, few, (id) => instance.byId(id))
  })
  bench.add({ id: 'get', work: 'getById, cached, 4 KB', unit: 'µs', figures: await interleave(rounds, repeated) })

  await records(bench, opened)

  const many = sidesOf(cold, (instance, Peer, peer) => {
    const some = sample(ids[peer], 2000)
    return () => eachRead(instance, some, (id) => instance.byId(id))
  })
  bench.add({ id: 'get-uncached', work: 'getById, not cached, 4 KB', unit: 'µs', figures: await interleave(rounds, many) })

  const byPath = (side, some) => {
    return interleave(rounds, sidesOf(side, (instance) => () => eachRead(instance, some, (path) => instance.byPath(path))))
  }
  const fewPaths = Array.from({ length: 40 }, () => sample(paths, 50)).flat()
  bench.add({ id: 'by-path', work: 'find by path, not cached, 4 KB', unit: 'µs', figures: await byPath(cold, sample(paths, 2000)) })
  bench.add({ id: 'by-path-cached', work: 'find by path, cached, 4 KB', unit: 'µs', figures: await byPath(opened, fewPaths) })

  const timed = (instance, read, field) => perItem(total, async () => {
    const list = await read(instance)
    if (list.length !== total) throw new Error(`a list of ${total} files has ${list.length}`)
    expect(list[total - 1], field)
  })
  const lists = (side, read, field) => {
    return interleave(fewRounds, sidesOf(side, (instance) => () => timed(instance, read, field)))
  }
  const all = (instance) => instance.all()
  const heads = (instance) => instance.heads()
  const work = `list ${total.toLocaleString('en')} × 4 KB`
  bench.add({ id: 'list', work: `${work}, not cached`, unit: 'µs each', figures: await lists(cold, all) })
  bench.add({ id: 'list-cached', work: `${work}, cached`, unit: 'µs each', figures: await lists(opened, all) })
  const changed = sidesOf(opened, (instance, Peer, peer) => async (round) => {
    await instance.update(ids[peer][total >> 1], { content: content(total >> 1, round) })
    return timed(instance, all)
  })
  bench.add({ id: 'list-changed', work: `${work}, cached, one changed since`, unit: 'µs each', figures: await interleave(fewRounds, changed) })
  bench.add({ id: 'heads', work: 'list without content, not cached', unit: 'µs each', figures: await lists(cold, heads, 'path') })
  bench.add({ id: 'heads-cached', work: 'list without content, cached', unit: 'µs each', figures: await lists(opened, heads, 'path') })
  await uncached.close()
}

async function records(bench, opened) {
  const ids = {}
  for (const [peer, instance] of Object.entries(opened)) {
    ids[peer] = []
    for (let n = 0; n < 50; n++) ids[peer].push(await instance.createRecord(record(n)))
  }
  const figures = await interleave(bench.rounds, sidesOf(opened, (instance, Peer, peer) => {
    const repeated = Array.from({ length: 100 }, () => ids[peer]).flat()
    return () => eachRead(instance, repeated, (id) => instance.recordById(id))
  }))
  bench.add({ id: 'get-small', work: 'getById, cached, 6 small fields', unit: 'µs', figures })
}
