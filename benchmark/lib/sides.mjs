// The peers of one measurement, each opened on a path of its own.
import { join } from 'node:path'
import { each } from './measure.mjs'

/** Opens every peer: name → instance. */
export async function openAll({ peers, directory }, name, options = {}) {
  const opened = {}
  for (const [peer, Peer] of Object.entries(peers)) opened[peer] = await Peer.open(pathOf(directory, name, peer), options)
  return opened
}

export const pathOf = (directory, name, peer) => join(directory, `${name}-${peer.replaceAll(/\W/g, '-')}`)

export async function closeAll(opened) {
  for (const instance of Object.values(opened)) await instance.close()
}

/** Returns a side for each peer, made by `side`. */
export function sidesOf(opened, side) {
  return Object.fromEntries(Object.entries(opened).map(([peer, instance]) => [peer, side(instance, instance.constructor, peer)]))
}

/** Reads each of some items of a peer, in the way in which its reads are meant to be called. */
export function eachRead(instance, items, read) {
  const { synchronous, synchronousReads } = instance.constructor
  return each(items, read, synchronous || synchronousReads)
}

/** Writes each of some items, one after another. Writes fewer of them if the peer takes very long for one. */
export function eachWrite(instance, items, write) {
  const { synchronous, slowWrites } = instance.constructor
  return each(slowWrites ? items.slice(0, Math.ceil(items.length / 10)) : items, write, synchronous)
}
