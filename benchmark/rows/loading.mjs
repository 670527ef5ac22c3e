// What a program pays before its first call: loading the package, native code included, in a fresh process.
import { measureInChild } from '../lib/child.mjs'

export async function loading(bench) {
  const figures = {}
  const names = Object.keys(bench.peers).filter((peer) => peer !== 'JSON file')
  for (const peer of names) measureInChild('load.cjs', peer)
  for (let round = 0; round < (bench.quick ? 5 : 25); round++) {
    for (const peer of names) (figures[peer] ??= []).push(measureInChild('load.cjs', peer).milliseconds)
  }
  bench.add({ id: 'load', work: 'loading the package in a fresh process', unit: 'ms', figures })
}
