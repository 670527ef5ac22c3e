'use strict'

// Documents as objects: how they are copied, and how much room they take.

/** What a value takes beside its characters: its slot, and a number or the header of a string or of an object. */
const VALUE = 32

/** Returns roughly how much room a document without nested objects takes, in characters; NaN if it has any. */
function flatSizeOf(document) {
  let size = VALUE
  for (const key in document) {
    const field = document[key]
    if (typeof field === 'string') size += VALUE + field.length
    else if (typeof field !== 'object' || field === null) size += VALUE
    else if (Object.hasOwn(document, key)) return NaN
  }
  return size
}

/** Like `flatSizeOf`, for a list of documents; NaN if one of them is not flat. */
function flatSizeOfAll(list) {
  let size = VALUE
  for (const document of list) {
    size += flatSizeOf(document)
    if (Number.isNaN(size)) break
  }
  return size
}

/** Returns about how much room any value parsed from JSON takes. */
function sizeOf(value) {
  if (typeof value === 'string') return VALUE + value.length
  if (typeof value !== 'object' || value === null) return VALUE
  let size = VALUE
  for (const member of Object.values(value)) size += sizeOf(member)
  return size
}

const copyFlat = (value) => ({ ...value })

/** Returns a deep copy of a value parsed from JSON. */
function copyDeep(value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyDeep)
  // The spread defines `__proto__` as an own property, so assigning to it below does not set the prototype.
  const copy = { ...value }
  for (const key in copy) {
    const member = copy[key]
    if (typeof member === 'object' && member !== null && Object.hasOwn(copy, key)) copy[key] = copyDeep(member)
  }
  return copy
}

module.exports = { copyDeep, copyFlat, flatSizeOf, flatSizeOfAll, sizeOf }
