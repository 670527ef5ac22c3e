// The data that is stored: files of about 4 KB of text that looks like source code, and records of six small fields.

const words = ['const', 'value', '=', 'await', 'storage', '.get(', "'name'", ')', '\n', '  if', '(', 'found', ')', '{', '}', '\n']

function text(seed, length) {
  let out = ''
  for (let state = seed + 1; out.length < length; ) {
    state = (state * 48271) % 2147483647
    out += `${words[state % words.length]} `
  }
  return out.slice(0, length)
}

/** The content of file `n`. It differs for each `round`. */
export const content = (n, round = 0) => `// ${n} ${round}\n${text(n + round * 7919, 4080)}`

export const file = (n, prefix = 'src') => ({ name: `${n}.ts`, path: `${prefix}/${n % 50}/${n}.ts`, content: content(n) })

export const files = (count, first = 0) => Array.from({ length: count }, (_, n) => file(first + n))

/** A file of a few bytes, for measurements that do not depend on the content. */
export const tinyFile = (n) => ({ name: `${n}.ts`, path: `tiny/${n}.ts`, content: 'x' })

/** What `create` takes for a record of six fields; the remaining fields are assigned. */
export const record = (n) => ({ name: `Project ${n}`, description: 'a few words', path: `/srv/${n}` })

/** Returns a sample in mixed order, the same in each run. */
export function sample(list, count) {
  return Array.from({ length: count }, (_, at) => list[(at * 7919 + 13) % list.length])
}
