// The Markdown documents of the repository: their headings, links and code.
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

export const root = join(__dirname, '..', '..')

/**
 * A block of code. The text after the language on its first line says what the block is, and is not shown on any page:
 * nothing: a program that begins here; `continued`: the rest of the program above it; `fragment`: a piece that is only
 * checked, together with the last `<!-- context … -->` above it; `file=NAME`: a file that the document's programs need.
 */
export interface Block {
  language: string
  mark: string
  text: string
  /** The number of its first line of code, from 1. */
  line: number
  /** The hidden declarations that a fragment relies on. */
  context: string
}

export interface Document {
  /** Relative to the repository, with `/` between names. */
  path: string
  headings: string[]
  anchors: Set<string>
  links: { target: string; line: number }[]
  blocks: Block[]
  /** The text without blocks of code. */
  prose: string
}

/** A program of a document, made of the blocks that belong together. */
export interface Program {
  document: string
  line: number
  language: string
  text: string
  /** The files that the program needs, by name. */
  files: Map<string, string>
}

const SKIPPED = new Set(['node_modules', 'target', '.git', 'corpus', 'artifacts'])

function markdownFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : markdownFiles(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

export const documents = (): Document[] =>
  markdownFiles(root)
    .map((path) => parse(relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')))
    .sort((one, other) => (one.path < other.path ? -1 : 1))

/** Returns the anchor of a heading on a page. */
export const anchorOf = (heading: string) =>
  heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
    .replaceAll(' ', '-')

function parse(path: string, text: string): Document {
  const document: Document = { path, headings: [], anchors: new Set(), links: [], blocks: [], prose: '' }
  let context = ''
  let block: Block | undefined
  let fence = ''
  let indent = 0
  let comment: string[] | undefined
  text.split('\n').forEach((line, at) => {
    if (block) {
      if (line.trim() === fence) {
        document.blocks.push(block)
        block = undefined
      } else block.text += `${line.slice(Math.min(indent, line.length - line.trimStart().length))}\n`
      return
    }
    if (comment) {
      if (line !== '-->') return void comment.push(line)
      context = comment.join('\n')
      comment = undefined
      return
    }
    if (line === '<!-- context') return void (comment = [])
    const opened = /^( *)(`{3,})(\S*) ?(.*)$/.exec(line)
    if (opened) {
      indent = opened[1]!.length
      fence = opened[2]!
      block = { language: opened[3]!, mark: opened[4]!.trim(), text: '', line: at + 2, context }
      return
    }
    const heading = /^#{1,6} (.*)$/.exec(line)?.[1]
    if (heading !== undefined) {
      document.headings.push(heading)
      let anchor = anchorOf(heading)
      for (let again = 1; document.anchors.has(anchor); again += 1) anchor = `${anchorOf(heading)}-${again}`
      document.anchors.add(anchor)
    }
    document.prose += `${line}\n`
    const plain = line.replaceAll(/`[^`]*`/g, '')
    for (const [, target] of plain.matchAll(/\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)/g)) {
      document.links.push({ target: target!, line: at + 1 })
    }
  })
  if (block) throw new Error(`${path}: a block of code is not closed`)
  if (comment) throw new Error(`${path}: a context is not closed`)
  return document
}

/** Names of the two languages that would otherwise be overlooked. */
const ALIASES = /^(javascript|typescript|node|jsx|tsx|[cm][jt]s)$/i

const isCode = ({ language, line }: Block) => {
  if (ALIASES.test(language)) throw new Error(`line ${line}: say js or ts instead of ${language}`)
  return language === 'js' || language === 'ts'
}

/** Returns the programs of a document, each with the blocks that continue it. */
export function programsOf({ path, blocks }: Document): Program[] {
  const files = new Map(blocks.filter(({ mark }) => mark.startsWith('file=')).map(({ mark, text }) => [mark.slice(5), text]))
  const programs: Program[] = []
  for (const block of blocks.filter(isCode)) {
    const { mark, language, text, line } = block
    if (mark === '') programs.push({ document: path, line, language, text, files })
    else if (mark === 'continued') {
      const program = programs.at(-1)
      if (program?.language !== language) throw new Error(`${path}:${line} continues no program in its language`)
      // Keep the lines of the program at their line numbers in the document.
      program.text = program.text.padEnd(program.text.length + line - program.line - program.text.split('\n').length + 1, '\n') + text
    } else if (mark !== 'fragment' && !mark.startsWith('file=')) throw new Error(`${path}:${line}: what is '${mark}'?`)
  }
  return programs
}

export const fragmentsOf = ({ blocks }: Document) => blocks.filter((block) => isCode(block) && block.mark === 'fragment')

/** Returns a fragment as a module of its own. */
export function moduleOf({ text, context }: Block): string {
  const lines = text.split('\n')
  const imports = lines.filter((line) => line.startsWith('import '))
  const rest = lines.filter((line) => !line.startsWith('import '))
  return `${imports.join('\n')}\n${context}\nexport async function fragment() {\n${rest.join('\n')}\n}\n`
}

/** Returns what a program prints according to its comments: from the line of a `console.log` to the text. */
export function expectations(text: string): Map<number, string> {
  const lines = text.split('\n')
  const expected = new Map<number, string>()
  lines.forEach((line, at) => {
    const logged = /^(\s*)console\.log\(.*\)(?: \/\/ (.*))?$/.exec(line)
    if (!logged) return
    const [, indent, beside] = logged
    const below: string[] = []
    for (let next = at + 1; lines[next]?.startsWith(`${indent}// `); next += 1) below.push(lines[next]!.slice(indent!.length + 3))
    if (beside !== undefined) expected.set(at, beside)
    else if (below.length > 0) expected.set(at, below.join('\n'))
  })
  return expected
}

/** Marks the lines that report what a program printed. */
export const MARK = '\u001f'

/** Returns the program, changed so that each `console.log` with an expectation also reports its line. */
export function instrumented(text: string): string {
  const expected = expectations(text)
  const told = `const __told = (line, ...values) => console.log('${MARK}' + JSON.stringify([line, __format(...values)]));`
  const lines = text.split('\n').map((line, at) => (expected.has(at) ? line.replace('console.log(', `__told(${at}, `) : line))
  // On the first line, so that stacks still name the right lines.
  return `import { format as __format } from 'node:util'; ${told} ${lines.join('\n')}`
}
