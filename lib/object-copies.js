'use strict'

// Documents as objects: how they are copied, and what they hold.

/** What a value takes beside its characters: its place, and a number or the head of a string or of an object. */
const VALUE = 32

/** What a document takes whose fields are no objects, in characters, roughly; NaN if one is. Looks into no string. */
function flatSizeOf(document) {
  let size = VALUE
  for (const key in document) {
    const field = document[key]
    if (typeof field === 'string') size += VALUE + field.length
    else if (typeof field !== 'object' || field === null) size += VALUE
    else return NaN
  }
  return size
}

/** As `flatSizeOf`, for documents; NaN if one of them is not flat. */
function flatSizeOfAll(list) {
  let size = VALUE
  for (const document of list) {
    size += flatSizeOf(document)
    if (Number.isNaN(size)) break
  }
  return size
}

/** What any value takes that JSON text gave. */
function sizeOf(value) {
  if (typeof value === 'string') return VALUE + value.length
  if (typeof value !== 'object' || value === null) return VALUE
  let size = VALUE
  if (Array.isArray(value)) for (const element of value) size += sizeOf(element)
  else for (const key in value) size += sizeOf(value[key])
  return size
}

const copyFlat = (value) => ({ ...value })

/** A copy of what JSON text gave. */
function copyDeep(value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyDeep)
  // The spread makes a property of `__proto__` too, so assigning to it below sets no prototype.
  const copy = { ...value }
  for (const key in copy) if (typeof copy[key] === 'object' && copy[key] !== null) copy[key] = copyDeep(copy[key])
  return copy
}

module.exports = { copyDeep, copyFlat, flatSizeOf, flatSizeOfAll, sizeOf }
