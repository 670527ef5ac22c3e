'use strict'

// Writing all files of a project as one map. If this thread keeps the list as it was last stored, only the differences from
// it go to native code, which checks that the list is still what is stored; if it is not, the whole map follows.

const { valueOf } = require('./answers.js')
const { fieldsOf, membersOf, memberText } = require('./arguments.js')
const { apart, withContent } = require('./file-records.js')
const { keeper } = require('./lists.js')
const { moment, WHOLE_LIST } = require('./objects.js')
const { Records } = require('./records.js')

/**
 * Writes a map of files and returns it as stored.
 * @param members what `fileMembers` returned
 * @param stored `{ native, documents, objects }`: the native calls, the native collection, and the function that returns the
 *   objects that are kept of it
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
  // Edits by hand have not been looked for since the list was read, so the new list expires with it. An object that is given
  // as a content may become another string each time.
  const fit = known !== undefined && members.every(({ record }) => typeof record.content === 'string')
  const kept = fit ? keeper(documents, objects, since)?.keepList(WHOLE_LIST, files, seq, known.expires) : undefined
  return mapFrom(stored, kept ?? files.map((file, at) => (file === same.get(stored[at][0]) ? { ...file } : file)))
}

/**
 * Compares a map with a list. Returns the members that differ from the list, the files of the other members by key, and the
 * ids that the map lacks.
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
 * Whether a record has exactly the fields of a kept file, in the same order. Native code then has nothing to do for it: no
 * field is missing, and stored timestamps are not mistaken for seconds. Nested values are never equal, because no kept value
 * was handed out.
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

/** Returns the members of a map of files. */
const fileMembers = (map) => membersOf(map, partsOf)

/** Returns a member of a map as JSON text, and its content apart if it can be passed as it is. */
function partsOf(key, record) {
  const [head, plain] = apart(fieldsOf(record, false))
  return [memberText(key, head), plain]
}

/** Returns members as records for native code. */
const handedOver = (members) => new Records(members, ({ parts }) => parts())

/** Returns a map with the keys of `members` and these files. */
function mapFrom(members, files) {
  const map = {}
  members.forEach(([key], at) => (map[key] = files[at]))
  return map
}

module.exports = { fileMembers, writeFiles }
