// The documents tell the truth: their programs run and print what they say, their links lead somewhere, and they mention
// everything that they should.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import * as storage from '../index.js'
import { MARK, documents, expectations, fragmentsOf, instrumented, moduleOf, programsOf, root } from './support/documents.js'
import type { Document, Program } from './support/documents.js'

const run = promisify(execFile)
const all = documents()
const named = (path: string): Document => all.find((document) => document.path === path) ?? assert.fail(`there is no ${path}`)
const source = (path: string) => readFileSync(join(root, path), 'utf8')

/** Creates the folder of a user who installed the package, with one version of zod. */
async function userFolder(directory: string, zod: string) {
  const modules = join(directory, 'node_modules')
  await mkdir(join(modules, '@octoprompt'), { recursive: true })
  for (const scope of ['@types', '@opentelemetry']) await mkdir(join(modules, scope))
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
  const link = (from: string, to: string) => symlink(join(root, from), join(modules, to), 'junction')
  await link('.', '@octoprompt/storage')
  await link(`node_modules/${zod}`, 'zod')
  for (const name of ['valibot', '@types/node', '@opentelemetry/api']) await link(`node_modules/${name}`, name)
}

const slug = ({ document, line }: { document: string; line: number }) => `${document.replaceAll(/[^a-z]+/gi, '-')}-${line}`

/** Writes a program and the files that it needs; returns its path. */
async function place(directory: string, { language, files }: Program, text: string, compile = false) {
  const write = async (name: string, content: string) => {
    const file = join(directory, compile ? name.replace(/\.ts$/, '.mjs') : name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, compile && name.endsWith('.ts') ? compiled(content) : content)
    return file
  }
  for (const [name, content] of files) await write(name, content)
  return write(language === 'ts' ? 'program.ts' : 'program.mjs', text)
}

/** Compiles to JavaScript, for a Node that runs nothing else. */
const compiled = (text: string) => transformSync(text, { loader: 'ts' }).code.replaceAll(/(from "\.\/[\w-]+)\.ts"/g, '$1.mjs"')

/** Ignores where a long value is broken into lines. */
const spaced = (text: string) => text.replaceAll(/\s+/g, ' ')

describe('code in documents', () => {
  let base = ''
  before(async () => {
    base = await realpath(await mkdtemp(join(tmpdir(), 'octoprompt-documents-')))
    await userFolder(base, 'zod')
    await userFolder(join(base, 'zod3'), 'zod3')
  })
  after(() => rm(base, { recursive: true, force: true, maxRetries: 5 }))

  for (const program of all.flatMap(programsOf)) {
    test(`${program.document}:${program.line} runs and prints what it says`, async () => {
      const directory = join(base, 'run', slug(program))
      const file = await place(directory, program, instrumented(program.text), !('Bun' in globalThis))
      const { stdout } = await run(process.execPath, [file], { cwd: directory, env: { ...process.env, NO_COLOR: '1' }, timeout: 60_000 })
      const told: [number, string][] = stdout.split('\n').filter((line) => line.startsWith(MARK)).map((line) => JSON.parse(line.slice(1)))
      const line = (at: number) => program.line + at
      assert.deepEqual(
        told.map(([at, text]) => [line(at), spaced(text)]),
        [...expectations(program.text)].map(([at, text]) => [line(at), spaced(text)]),
      )
    })
  }

  test('TypeScript examples compile, and those of the README also compile with zod 3', async () => {
    const files: string[] = []
    for (const document of all) {
      for (const program of programsOf(document).filter(({ language }) => language === 'ts')) {
        files.push(await place(join(base, 'check', slug(program)), program, program.text))
        if (document.path === 'README.md') files.push(await place(join(base, 'zod3', slug(program)), program, program.text))
      }
      for (const block of fragmentsOf(document).filter(({ language }) => language === 'ts')) {
        const file = join(base, 'check', `${slug({ document: document.path, line: block.line })}.ts`)
        await mkdir(dirname(file), { recursive: true })
        await writeFile(file, moduleOf(block))
        files.push(file)
      }
    }
    const compilerOptions = {
      target: 'es2022',
      module: 'nodenext',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
    }
    await writeFile(join(base, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    const failed = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', base]).catch((error) => error)
    assert.equal(failed.code, undefined, failed.stdout)
  })

  test('JavaScript fragments can be parsed', () => {
    for (const document of all) {
      for (const block of fragmentsOf(document).filter(({ language }) => language === 'js')) {
        assert.doesNotThrow(() => transformSync(moduleOf(block)), `${document.path}:${block.line}`)
      }
    }
  })
})

describe('references in documents', () => {
  for (const document of all) {
    test(`links of ${document.path} lead somewhere`, () => {
      for (const { target, line } of document.links) {
        if (/^[a-z]+:/.test(target)) continue
        const [path = '', anchor] = target.split('#')
        const file = path === '' ? document.path : posix.normalize(posix.join(posix.dirname(document.path), decodeURIComponent(path)))
        assert.ok(existsSync(join(root, file)), `${document.path}:${line} links to ${target}: there is no ${file}`)
        if (anchor === undefined) continue
        assert.ok(named(file).anchors.has(anchor), `${document.path}:${line} links to ${target}: no heading of ${file} has that anchor`)
      }
    })
  }

  test('repository paths that they mention exist', () => {
    const folders = /^(?:__test__|benchmark|docs|examples|fuzz|lib|loom|npm|power-loss|scripts|src|tests|types|\.github)\/[\w./-]*$/
    for (const { path, prose } of all) {
      for (const [, name] of prose.matchAll(/`([^`\s]+)`/g)) {
        if (folders.test(name!)) assert.ok(existsSync(join(root, name!)), `${path} speaks of ${name}, which does not exist`)
      }
    }
  })

  test('npm scripts that they mention exist', () => {
    const { scripts } = JSON.parse(source('package.json'))
    for (const { path, prose, blocks } of all) {
      const text = [prose, ...blocks.map((block) => block.text)].join('\n')
      for (const [, name] of text.matchAll(/npm run ([\w:-]+)/g)) {
        assert.ok(path.startsWith('docs/getting-started') || scripts[name!], `${path} speaks of npm run ${name}`)
      }
    }
  })

  test('every document can be reached from the index', () => {
    const reached = new Set(['docs/README.md'])
    for (const path of reached) {
      for (const { target } of all.find((document) => document.path === path)?.links ?? []) {
        const linked = posix.normalize(posix.join(posix.dirname(path), target.split('#')[0]!))
        if (linked.startsWith('docs/')) reached.add(linked)
      }
    }
    const missing = all.filter(({ path }) => path.startsWith('docs/') && !reached.has(path))
    assert.deepEqual(missing.map(({ path }) => path), [])
  })
})

describe('the documents describe', () => {
  const codes = (text: string, pattern: RegExp) => [...new Set([...text.matchAll(pattern)].map(([, code]) => code!))].sort()
  const library = readdirSync(join(root, 'lib')).map((file) => source(`lib/${file}`)).join('\n')

  /** Returns the headings of a section of the troubleshooting page. */
  function headingsOf(section: string): string[] {
    const { headings } = named('docs/troubleshooting.md')
    const sections = ['Error codes', 'Warning codes', 'What verifying finds']
    const start = headings.indexOf(section)
    assert.notEqual(start, -1)
    const end = headings.findIndex((heading, at) => at > start && sections.includes(heading))
    return headings.slice(start + 1, end === -1 ? undefined : end).map((heading) => heading.replaceAll('`', '')).sort()
  }

  test('every error code, and no other', () => {
    const declared = codes(source('types/errors.d.ts').split('export class')[0]!, /\| '([A-Z_]+)'/g)
    // Callers never see this code.
    const internal = 'UNADOPTED'
    const engine = codes(source('src/engine/error.rs').split('pub fn outcome')[0]!, /"([A-Z]+(?:_[A-Z]+)*)"/g)
    const thrown = codes(library, /StorageError\([^\n]*'([A-Z]+_?[A-Z_]*)'/g)
    assert.deepEqual(headingsOf('Error codes'), declared)
    for (const code of [...engine, ...thrown].filter((found) => found !== internal)) assert.ok(declared.includes(code), code)
  })

  test('every warning code, and no other', () => {
    const engine = codes(source('src/engine/database/mod.rs'), /WarningCode::\w+ => "([A-Z_]+)"/g)
    const face = codes(library, /\bwarn\('([A-Z_]+)'/g)
    assert.ok(engine.length > 0 && face.length > 0)
    assert.deepEqual(headingsOf('Warning codes'), [...engine, ...face].sort())
  })

  test('every problem code of verify', () => {
    const declared = codes(source('types/reports.d.ts').split('export interface')[0]!, /\| '([A-Z_]+)'/g)
    const { prose } = named('docs/troubleshooting.md')
    const told = codes(prose.slice(prose.indexOf('## What verifying finds')), /`([A-Z]+(?:_[A-Z]+)*)`/g)
    assert.deepEqual(declared.filter((code) => !told.includes(code)), [])
  })

  test('every option', () => {
    const declared = codes(source('types/options.d.ts').split('export type')[0]!, /^ {2}(\w+)\?:/gm)
    const { prose } = named('docs/api/options.md')
    assert.deepEqual(declared.filter((option) => !prose.includes(`\`${option}\``)), [])
  })

  const pages = {
    BaseStorage: 'docs/api/base-storage.md',
    ProjectStorageV2: 'docs/api/project-storage.md',
    ProjectFileStorage: 'docs/api/project-file-storage.md',
    IndexManager: 'docs/api/index-manager.md',
    MigrationManager: 'docs/api/migration-manager.md',
  } as const
  for (const [name, page] of Object.entries(pages)) {
    test(`every method of ${name}`, () => {
      const { prose } = named(page)
      const methods = Object.getOwnPropertyNames(storage[name as keyof typeof pages].prototype)
      // Members that are protected in every class are explained only where they are declared.
      const face = name === 'BaseStorage' ? types(name) : types(name).replaceAll(/^ *protected.*$/gm, '')
      const declared = methods.filter((method) => method !== 'constructor' && new RegExp(`\\b${method}[(<]`).test(face))
      assert.ok(declared.length > 5)
      assert.deepEqual(declared.filter((method) => !prose.includes(`\`${method}(`)), [])
    })
  }

  /** Returns the declaration of a class. */
  function types(name: string): string {
    const text = readdirSync(join(root, 'types')).map((file) => source(`types/${file}`)).join('\n')
    const start = text.search(new RegExp(`class ${name}\\b`))
    return text.slice(start, text.indexOf('\n}\n', start))
  }

  test('everything that is exported', () => {
    const text = all.filter(({ path }) => path.startsWith('docs/api/')).map(({ prose }) => prose).join('\n')
    const names = Object.keys(storage).filter((name) => name !== 'default')
    assert.deepEqual(names.filter((name) => !text.includes(`\`${name}\``)), [])
  })
})
