// The heavy work of a server that keeps the sources of a project: syncing thousands of real files, changing some of them one
// by one, and listing them, all through the calls that such a server makes.
import { perItem, interleave, expect } from '../lib/measure.mjs'
import { newFile } from '../peers/entity.mjs'
import { sourceFiles } from '../lib/sources.mjs'
import { pathOf } from '../lib/sides.mjs'
import { sample } from '../lib/data.mjs'

export async function server(bench) {
  const sources = sourceFiles(bench.sources, bench.total)
  const megabytes = (sources.reduce((sum, { content }) => sum + content.length, 0) / 1e6).toFixed(0)
  const count = sources.length.toLocaleString('en')
  const changed = Math.ceil(sources.length / 10)
  const phases = [
    ['sync', `sync ${count} real files (${megabytes} MB) into an empty project`, 'ms'],
    ['sync-again', `sync them again, ${changed.toLocaleString('en')} changed`, 'ms'],
    ['summaries', `updateProjectFile for ${changed.toLocaleString('en')} of them, one after another`, 'ms'],
    ['tree', 'list them without content', 'ms'],
  ]
  const figures = Object.fromEntries(phases.map(([id]) => [id, {}]))
  const sides = Object.fromEntries(Object.entries(bench.peers).map(([peer, Peer]) => [peer, async (round) => {
    const path = pathOf(bench.directory, `server${round}`, peer)
    const times = await life(Peer, path, sources, changed)
    if (round > 0) for (const [id, time] of Object.entries(times)) (figures[id][peer] ??= []).push(time)
    bench.remove(`server${round}`)
    return 0
  }]))
  await interleave(bench.fewRounds, sides)
  for (const [id, work, unit] of phases) {
    bench.add({ id: `server-${id}`, work, unit, writes: id !== 'tree', server: true, figures: figures[id] })
  }
}

const milliseconds = async (work) => (await perItem(1, work)) / 1000

/** Runs one project in a fresh database, from its first sync to the list. */
async function life(Peer, path, sources, changed) {
  const instance = await Peer.open(path)
  const times = {}
  times.sync = await milliseconds(async () => sync(instance, sources))
  const edited = new Set(sample(sources, changed))
  const now = sources.map((source) => (edited.has(source) ? { ...source, content: `${source.content}\n// edited` } : source))
  times['sync-again'] = await milliseconds(async () => sync(instance, now))
  const stored = await instance.heads()
  if (stored.length !== sources.length) throw new Error(`${sources.length} files were synced, ${stored.length} are there`)
  const summarized = sample(stored.map(({ id }) => id), changed)
  // If one change takes very long, fewer of them tell as much.
  const some = Peer.slowWrites ? summarized.slice(0, 10) : summarized
  const summary = 'What this file does, in one sentence.'
  const updating = await milliseconds(async () => {
    for (const id of some) {
      if (Peer.synchronous) instance.update(id, { summary })
      else await instance.update(id, { summary })
    }
  })
  times.summaries = (updating / some.length) * summarized.length
  times.tree = await milliseconds(async () => expect((await instance.heads())[0], 'path'))
  await instance.close()
  return times
}

/** Makes what is stored equal to the sources: read all, change what differs, write all. */
async function sync(instance, sources) {
  const map = await instance.readMap()
  const byPath = new Map(Object.values(map).map((file) => [file.path, file]))
  const put = []
  for (const source of sources) {
    const known = byPath.get(source.path)
    byPath.delete(source.path)
    if (known?.content === source.content) continue
    const file = known ? { ...known, content: source.content, size: Buffer.byteLength(source.content), updated: Date.now() } : newFile(source)
    map[file.id] = file
    put.push(file)
  }
  const gone = Array.from(byPath.values(), ({ id }) => id)
  for (const id of gone) delete map[id]
  await instance.writeMap(map, { put, gone })
}
