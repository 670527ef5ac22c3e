'use strict'

// Writing all files of a project as one map. Where the list is kept as it was stored last, only what differs from it crosses
// into native code, which looks whether it still is what is stored; if not, the whole map crosses after all.

const { valueOf } = require('./answers.js')
const { membersOf, memberText } = require('./arguments.js')
const { apart, withContent } = require('./file-records.js')
const { keeper } = require('./lists.js')
const { moment, WHOLE_LIST } = require('./objects.js')
const { Records } = require('./records.js')

/**
 * Writes a map of files and gives it as it is stored.
 * @param members what `fileMembers` read
 * @param stored `{ native, documents, objects }`: the native calls, and what gives the objects that are kept
 * @param write starts a write: `({ start, given }, otherwise)`
 */
async function writeFiles(members, { native, documents, objects }, write) {
  const since = moment()
  const known = objects()?.whole(documents)
  const { changed, same, gone } = differenceOf(members, known?.list ?? [])
  const whole = () => {
    const given = handedOver(members)
    return { given, start: (ticket) => native.writeAll(ticket, given.native) }
  }
  const difference = () => {
    const given = handedOver(changed)
    return { given, start: (ticket) => native.writeDifference(ticket, known.engine, known.seq, given.native, gone) }
  }
  const [seq, ...heads] = valueOf(await (known === undefined ? write(whole()) : write(difference(), whole)))
  const written = new Map(heads.map((head) => [String(head.id), head]))
  const stored = members.map(({ key, record }) => [key, written.has(key) ? withContent(written.get(key), record.content) : same.get(key)])
  stored.sort(([, one], [, other]) => one.id - other.id)
  const files = stored.map(([, file]) => file)
  // Nobody has looked for edits by hand since the list was read. An object that JSON makes a string of is no content to keep.
  const fit = known !== undefined && files.every(({ content }) => typeof content === 'string')
  const kept = fit ? keeper(documents, objects, since)?.keepList(WHOLE_LIST, files, seq, known.expires) : undefined
  return mapFrom(stored, kept ?? files.map((file, at) => (file === same.get(stored[at][0]) ? { ...file } : file)))
}

/**
 * How a map differs from a list: its members that are not the same there, the files of the others by key, and the ids that
 * it lacks.
 */
function differenceOf(members, list) {
  const rest = new Map(list.map((file) => [String(file.id), file]))
  const same = new Map()
  const changed = members.filter(({ key, record }) => {
    const file = rest.get(key)
    rest.delete(key)
    if (file === undefined || !isSame(record, file)) return true
    same.set(key, file)
    return false
  })
  return { changed, same, gone: Array.from(rest.values(), ({ id }) => id) }
}

/**
 * Whether a record has just the fields of a file that is kept, in their order. Then native code has nothing to do with it:
 * no field is missing, and timestamps that are stored are not taken for seconds. Nested values are never the same, because
 * none that is kept was handed out.
 */
function isSame(record, file) {
  const names = Object.keys(file)
  let at = 0
  for (const name in record) {
    if (names[at] !== name || record[name] !== file[name]) return false
    at += 1
  }
  return at === names.length
}

/** The members of a map of files. */
const fileMembers = (map) => membersOf(map, partsOf)

/** A member of a map as JSON text, and its content where that crosses apart. */
function partsOf(key, record) {
  const [head, plain] = apart(record)
  return [memberText(key, head), plain]
}

/** Members on their way into native code. */
const handedOver = (members) => new Records(members, ({ parts }) => parts())

/** A map with the keys of members and these files. */
function mapFrom(members, files) {
  const map = {}
  members.forEach(([key], at) => (map[key] = files[at]))
  return map
}

module.exports = { fileMembers, writeFiles }
