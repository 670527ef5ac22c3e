'use strict'

// Text on a terminal: how wide it is, how it is cut, and which characters must not reach a terminal as they are.

let segmenter

/** Splits a text into the characters that a reader sees. Most programs need no segmenter, and creating one is slow. */
function graphemes(text) {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' })
  return segmenter.segment(text)
}

/** The first and last code points of the ranges that Unicode calls wide or full width, without emoji. */
const WIDE = [
  [0x1100, 0x115f], [0x2e80, 0x303e], [0x3041, 0x33ff], [0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xa000, 0xa4cf],
  [0xa960, 0xa97f], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfe30, 0xfe6f], [0xff00, 0xff60], [0xffe0, 0xffe6],
  [0x16fe0, 0x18cff], [0x1aff0, 0x1b2ff], [0x20000, 0x3fffd],
]

function graphemeWidth(text) {
  // Written inside the function, these two are compiled at first use: Unicode properties are slow to look up.
  if (/^[\p{Mark}\p{Default_Ignorable_Code_Point}]+$/u.test(text)) return 0
  const code = text.codePointAt(0)
  return /\p{Emoji_Presentation}|\uFE0F/u.test(text) || WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1
}

/** Returns how many columns a text occupies; wide characters occupy two. */
function displayWidth(text) {
  // Each character of printable ASCII occupies one column.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes(text)) width += graphemeWidth(segment)
  return width
}

/** Cuts a text to at most `width` columns, ending it with `…` if anything was cut off. */
function cut(text, width) {
  if (displayWidth(text) <= width) return text
  let used = 1
  let kept = ''
  for (const { segment } of graphemes(text)) {
    used += graphemeWidth(segment)
    if (used > width) break
    kept += segment
  }
  return `${kept}…`
}

/** Pads a text with spaces to `width` columns. */
function padded(text, width) {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}

const SPACES = /[\s\u0085]+/g
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/**
 * Returns the text as one line that is safe to write to a terminal: line breaks become spaces, other ASCII control
 * characters become their pictures, and other control characters, characters that change the direction of writing and lone
 * surrogates become replacement characters.
 */
function printable(text) {
  const picture = (character) => {
    const code = character.charCodeAt(0)
    return code === 0x7f ? '\u2421' : code < 0x20 ? String.fromCharCode(0x2400 + code) : '\ufffd'
  }
  return text.toWellFormed().replace(SPACES, ' ').replace(CONTROLS, picture).trim()
}

module.exports = { displayWidth, cut, padded, printable }
