// The time from nothing in memory to the first answer.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, interleave, perItem } from '../lib/measure.mjs'
import { pathOf } from '../lib/sides.mjs'

export async function opening(bench, { opened, ids }) {
  const { directory, fewRounds, peers } = bench
  const base = pathOf(directory, 'filled', 'ours')
  const database = join(base, 'data', 'project_storage')
  const path = join(database, 'project_data', String(opened.ours.projectId), 'files.json')
  const megabytes = Math.round(readFileSync(path).length / 1e6)
  const work = `open ${megabytes} MB and read one`

  const open = (peer) => async () => {
    let instance
    const time = await perItem(1, async () => {
      instance = await peers[peer].open(pathOf(directory, 'filled', peer))
      expect(await instance.byId(ids[peer][77]))
    })
    await instance.close()
    return time
  }
  const figures = await interleave(fewRounds, Object.fromEntries(Object.keys(peers).map((peer) => [peer, open(peer)])))
  bench.add({ id: 'open', work, unit: 'µs', figures })

  const reserved = join(database, '.storage')
  const checkpoints = readdirSync(reserved).filter((name) => name.startsWith('index-')).map((name) => join(reserved, name))
  if (checkpoints.length === 0) throw new Error('there is no index checkpoint to open with')
  const openWithout = async (round) => {
    const kept = checkpoints.map((name) => readFileSync(name))
    for (const name of checkpoints) rmSync(name)
    const time = await open('ours')(round)
    for (const [at, name] of checkpoints.entries()) writeFileSync(name, kept[at])
    return time
  }
  const parse = () => perItem(1, () => expect(JSON.parse(readFileSync(path, 'utf8'))[ids.ours[77]]))
  const compared = { ours: open('ours'), 'without index checkpoint': openWithout, 'JSON.parse of the file': parse }
  bench.note({ id: 'open-compared', work, unit: 'µs', figures: await interleave(fewRounds, compared) })
}
