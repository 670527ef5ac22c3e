// Durable creates: one after another, at once, and as one batch.
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { file, files } from '../lib/data.mjs'
import { interleave, perItem } from '../lib/measure.mjs'
import { newFile } from '../peers/entity.mjs'
import { closeAll, eachWrite, openAll, pathOf, sidesOf } from '../lib/sides.mjs'

export async function creating(bench) {
  await oneAfterAnother(bench)
  await atOnce(bench)
  await asBatch(bench)
}

async function oneAfterAnother(bench) {
  const opened = await openAll(bench, 'create')
  let n = 0
  const figures = await interleave(bench.rounds, sidesOf(opened, (instance) => () => {
    return eachWrite(instance, files(50, (n += 50)), (item) => instance.create(item))
  }))
  const work = 'durable create, one after another, 4 KB'
  bench.add({ id: 'create', work, unit: 'µs', writes: true, figures })
  const ours = () => eachWrite(opened.ours, files(50, (n += 50)), (item) => opened.ours.create(item))
  const disk = appending(`${pathOf(bench.directory, 'create', 'disk')}.jsonl`)
  const compared = { ours, 'JSON, appended to a file and synced': disk.append }
  bench.note({ id: 'create-compared', work, unit: 'µs', figures: await interleave(bench.rounds, compared) })
  disk.close()
  await closeAll(opened)
}

/** Measures the least that a durable write costs: appending as many bytes to a file and syncing it, on this thread. */
function appending(path) {
  const descriptor = openSync(path, 'a')
  const line = `${JSON.stringify(newFile(file(0)))}\n`
  return {
    append: () => perItem(50, () => {
      for (let n = 0; n < 50; n++) {
        writeSync(descriptor, line)
        fdatasyncSync(descriptor)
      }
    }),
    close: () => closeSync(descriptor),
  }
}

async function atOnce(bench) {
  const count = bench.quick ? 500 : 2000
  const opened = await openAll(bench, 'at-once')
  let n = 0
  const figures = await interleave(bench.fewRounds, sidesOf(opened, (instance) => () => {
    const items = files(count, (n += count))
    return perItem(count, () => instance.createAtOnce(items))
  }))
  await closeAll(opened)
  const work = `durable create, ${count.toLocaleString('en')} at once, 4 KB`
  bench.add({ id: 'create-at-once', work, unit: 'µs each', writes: true, figures })
}

async function asBatch(bench) {
  const items = files(bench.total)
  const figures = await interleave(bench.fewRounds, Object.fromEntries(Object.entries(bench.peers).map(([peer, Peer]) => [peer, async (round) => {
    const instance = await Peer.open(pathOf(bench.directory, `batch${round}`, peer))
    const time = await perItem(items.length, () => instance.createMany(items))
    await instance.close()
    bench.remove(`batch${round}`)
    return time
  }])))
  const work = `bulk create ${bench.total.toLocaleString('en')} × 4 KB, one batch`
  bench.add({ id: 'create-many', work, unit: 'µs each', writes: true, figures })
}
