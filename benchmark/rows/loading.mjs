// What a program pays before its first call: loading the package, including native code, in a fresh process.
import { cpSync } from 'node:fs'
import { basename, join } from 'node:path'
import { stageMain } from '../../scripts/package/stage.mjs'
import { ADDONS, findAddon } from '../../scripts/setup.mjs'
import { measureInChild } from '../lib/child.mjs'

export async function loading(bench) {
  const figures = {}
  const place = await packageAsPublished(bench.directory)
  const names = Object.keys(bench.peers).filter((peer) => peer !== 'JSON file')
  const load = (peer) => measureInChild('load.cjs', peer, place)
  names.forEach(load)
  for (let round = 0; round < (bench.quick ? 5 : 25); round++) {
    for (const peer of names) (figures[peer] ??= []).push(load(peer).milliseconds)
  }
  bench.add({ id: 'load', work: 'loading the package in a fresh process', unit: 'ms', figures })
}

/** Bundles this package as it is installed: its JavaScript is bundled when it is published. */
async function packageAsPublished(directory) {
  const place = join(directory, 'package')
  await stageMain(place)
  const addon = findAddon(ADDONS[0])
  cpSync(addon, join(place, basename(addon)))
  return place
}
