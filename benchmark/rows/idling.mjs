// What a process costs that has a storage open and does nothing, and whether it exits by itself.
import { measureInChild } from '../lib/child.mjs'
import { pathOf } from '../lib/sides.mjs'

export async function idling(bench) {
  if (process.platform !== 'linux') return
  const seconds = bench.quick ? 2 : 5
  const lines = ['nothing', 'a storage'].map((what) => {
    const path = pathOf(bench.directory, 'idle', what)
    return { what, seconds, ...measureInChild('idle.mjs', what, path, seconds) }
  })
  bench.idle({ lines })
}
