'use strict'

// Text on a terminal: how wide it is, how it is cut, and what of it must not reach a terminal as it is.

let segmenter

/** The characters that a reader sees. Making a segmenter takes longer than loading this package: most programs need none. */
function graphemes(text) {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' })
  return segmenter.segment(text)
}

/** First and last code points of what Unicode calls wide or full width, without emoji. */
const WIDE = [
  [0x1100, 0x115f], [0x2e80, 0x303e], [0x3041, 0x33ff], [0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xa000, 0xa4cf],
  [0xa960, 0xa97f], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfe30, 0xfe6f], [0xff00, 0xff60], [0xffe0, 0xffe6],
  [0x16fe0, 0x18cff], [0x1aff0, 0x1b2ff], [0x20000, 0x3fffd],
]

function graphemeWidth(text) {
  // In here, these two are read when they are needed first: properties of Unicode are slow to look up.
  if (/^[\p{Mark}\p{Default_Ignorable_Code_Point}]+$/u.test(text)) return 0
  const code = text.codePointAt(0)
  return /\p{Emoji_Presentation}|\uFE0F/u.test(text) || WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1
}

/** The columns that a text takes; wide characters take two. */
function displayWidth(text) {
  // Of printable ASCII each character is one column.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes(text)) width += graphemeWidth(segment)
  return width
}

/** The text in at most `width` columns, ended by `…` if it was cut. */
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

/** The text followed by spaces up to `width` columns. */
function padded(text, width) {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}

const SPACES = /[\s\u0085]+/g
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/**
 * The text as one line that a terminal shows as it is: line breaks become spaces, other control characters their
 * pictures, and what turns the direction of writing or stands alone as half of a character a replacement character.
 */
function printable(text) {
  const picture = (character) => {
    const code = character.charCodeAt(0)
    return code === 0x7f ? '\u2421' : code < 0x20 ? String.fromCharCode(0x2400 + code) : '\ufffd'
  }
  return text.toWellFormed().replace(SPACES, ' ').replace(CONTROLS, picture).trim()
}

module.exports = { displayWidth, cut, padded, printable }
