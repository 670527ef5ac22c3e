import assert from 'node:assert/strict'
import { open, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { caught, dataPath, fileRecord, filesPath, openFiles, runChild, until, withProject } from './support/index.js'
import { watchedSignal } from './support/signals.js'
import type { ProjectFileStorage } from '../index.js'

const withFiles = (work: (files: ProjectFileStorage, base: string) => Promise<void>) =>
  withProject((storage, project, { base }) => work(storage.getFileStorage(project.id), base))

const meta = { name: 'big.txt', path: 'docs/big.txt' }

async function textOf(stream: ReadableStream<Uint8Array>): Promise<{ text: string; longest: number }> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return { text: Buffer.concat(chunks).toString('utf8'), longest: Math.max(0, ...chunks.map((chunk) => chunk.length)) }
}

const spools = async (base: string) =>
  (await readdir(join(dataPath(base), '.storage'))).filter((name) => name.startsWith('spool-'))

/** Characters of every width, and those that JSON escapes. */
const mixed = 'plain "quoted" \\ back\n\t\u0001é€😀'.repeat(40_000)

/** Longer than what is copied into a journal. */
const LARGE = 'x'.repeat(5 << 20)

test('a content is read as a stream of chunks', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: mixed })
  const { text, longest } = await textOf(files.createContentStream(id))
  assert.ok(text === mixed)
  assert.ok(longest <= 1 << 20, `a chunk has ${longest} bytes`)
}))

test('an empty content is an empty stream', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: '' })
  assert.deepEqual(await textOf(files.createContentStream(id)), { text: '', longest: 0 })
}))

test('a stream gives the content as it was when it was first read', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: mixed })
  const reader = files.createContentStream(id).getReader()
  const first = await reader.read()
  await files.update(id, { content: 'changed' })
  const chunks = [first.value!]
  for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value)
  assert.ok(Buffer.concat(chunks).toString('utf8') === mixed)
}))

test('a content stream can be read as a Node stream', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: mixed })
  const chunks: Buffer[] = []
  for await (const chunk of Readable.fromWeb(files.createContentStream(id) as never)) chunks.push(chunk as Buffer)
  assert.ok(Buffer.concat(chunks).toString('utf8') === mixed)
}))

test('a content stream of a missing file fails with NOT_FOUND', withFiles(async (files) => {
  const error = await caught(textOf(files.createContentStream(5)))
  assert.deepEqual([error.code, /5/.test(error.message)], ['NOT_FOUND', true])
}))

const bytesAround = (part: Uint8Array) => Uint8Array.of(0, 0, 0, ...part, 0).buffer

test('sources of all kinds make the same file', withFiles(async (files, base) => {
  const bytes = new TextEncoder().encode(mixed)
  // Parts whose ends are in the middle of characters.
  const parts = Array.from({ length: Math.ceil(bytes.length / 7_001) }, (_, at) => bytes.slice(at * 7_001, (at + 1) * 7_001))
  const halves = [mixed.slice(0, mixed.indexOf('😀') + 1), mixed.slice(mixed.indexOf('😀') + 1)]
  const sources: Record<string, () => Parameters<ProjectFileStorage['createFromStream']>[1]> = {
    strings: () => halves,
    bytes: () => parts,
    views: () => parts.map((part) => new DataView(bytesAround(part), 3, part.length)) as never,
    buffers: () => parts.map((part) => part.buffer) as never,
    node: () => Readable.from(parts) as never,
    web: () => new Blob([bytes]).stream() as never,
    generator: async function* () {
      yield* parts
    } as never,
  }
  const expected = await files.create({ ...meta, content: mixed })
  for (const [kind, source] of Object.entries(sources)) {
    const file = await files.createFromStream(meta, typeof source === 'function' ? source() : source)
    assert.ok(!('content' in file), kind)
    assert.deepEqual([file.size, file.extension, file.version], [expected.size, '.txt', 1], kind)
    assert.ok((await files.getById(file.id))!.content === mixed, kind)
  }
  assert.deepEqual(await spools(base), [])
}))

test('surrogate pairs survive the splitting of a long string', withProject(async (storage, project, { base }) => {
  const files = storage.getFileStorage(project.id)
  // Text is passed on in pieces of 65,536 units.
  const content = `${'a'.repeat(65_535)}😀${'b'.repeat(65_533)}\u{10000}😀`
  const { id, size } = await files.createFromStream(meta, [content])
  assert.equal(size, Buffer.byteLength(content))
  assert.ok((await files.getById(id))!.content === content)
  await storage.close()
  assert.ok((await readFile(filesPath(base, project.id), 'utf8')).includes(`"${content}"`))
}))

test('a web stream without async iteration is read, and cancelled on failure', withFiles(async (files) => {
  let cancelled = 0
  const source = (...values: unknown[]) => ({
    getReader: () => ({ read: async () => ({ value: values.shift(), done: values.length === 0 }), cancel: async () => void cancelled++ }),
  })
  const { id } = await files.createFromStream(meta, source('one', 'two', undefined) as never)
  assert.deepEqual([(await files.getById(id))!.content, cancelled], ['onetwo', 0])
  assert.equal((await caught(files.createFromStream(meta, source(5, undefined) as never))).code, 'INVALID_ARGUMENT')
  await until('the stream to be cancelled', () => cancelled === 1)
}))

test('a byte order mark in a source is part of the content', withFiles(async (files) => {
  const { id } = await files.createFromStream(meta, [Buffer.from('\ufeffa')])
  assert.equal((await files.getById(id))!.content, '\ufeffa')
}))

test('a source is not asked for anything if the signal is already aborted', withFiles(async (files) => {
  let asked = 0
  const source = { [Symbol.asyncIterator]: () => ({ next: async () => ({ value: 'x', done: (asked += 1) > 1 }) }) }
  assert.equal((await caught(files.createFromStream(meta, source as never, { signal: AbortSignal.abort() }))).code, 'ABORTED')
  assert.equal(asked, 0)
}))

test('an empty source makes an empty file', withFiles(async (files) => {
  const { id, size } = await files.createFromStream(meta, [])
  assert.deepEqual([size, (await files.getById(id))!.content], [0, ''])
}))

test('the other fields of a file are stored with its stream', withFiles(async (files) => {
  const { id } = await files.createFromStream({ ...meta, summary: '}', meta: '{"a":{}}' }, ['x'])
  const file = (await files.getById(id))!
  assert.deepEqual([file.summary, file.meta, file.content], ['}', '{"a":{}}', 'x'])
}))

test('a source that fails leaves nothing behind', withFiles(async (files, base) => {
  const mine = new Error('mine')
  async function* failing() {
    yield 'a'.repeat(200_000)
    throw mine
  }
  assert.equal(await caught(files.createFromStream(meta, failing())), mine)
  assert.deepEqual(await files.list(), [])
  await until('the spool to go', async () => (await spools(base)).length === 0)
}))

test('a source that yields anything but text or bytes is refused and closed', withFiles(async (files, base) => {
  let told = false
  async function* odd() {
    try {
      yield 5
    } finally {
      told = true
    }
  }
  assert.equal((await caught(files.createFromStream(meta, odd() as never))).code, 'INVALID_ARGUMENT')
  await until('the source to be told', () => told)
  for (const source of [undefined, null, 5, 'text', {}]) {
    assert.equal((await caught(files.createFromStream(meta, source as never))).code, 'INVALID_ARGUMENT')
  }
  assert.equal((await caught(files.createFromStream({ ...meta, content: 'x' } as never, ['x']))).code, 'INVALID_ARGUMENT')
  assert.equal((await caught(files.createFromStream({ name: 'x' } as never, ['x']))).code, 'VALIDATION_ERROR')
  await until('the spool to go', async () => (await spools(base)).length === 0)
}))

test('bytes that are not valid UTF-8 or end within a character are refused', withFiles(async (files, base) => {
  const [whole, cut] = [Buffer.from('é€😀'), Buffer.from('a😀').subarray(0, 3)]
  const sources = {
    'a wrong byte': [whole, Buffer.from([0x61, 0xff, 0x62])],
    'an encoded surrogate': [Buffer.from([0xed, 0xa0, 0x80])],
    'a wrong byte behind a long content': [Buffer.alloc(3 << 20, 'a'), Buffer.from([0xc0])],
    'a cut character at the end': [whole, cut],
    'a cut character before a text': [cut, 'text'],
    'a character with a text in its middle': [cut, 'text', Buffer.from('a😀').subarray(3)],
  }
  for (const [what, source] of Object.entries(sources)) {
    const error = await caught(files.createFromStream(meta, source))
    assert.deepEqual([error.code, /UTF-8/.test(error.message)], ['INVALID_ARGUMENT', true], what)
  }
  assert.deepEqual(await files.list(), [])
  await until('the spools to go', async () => (await spools(base)).length === 0)
}))

test('createFromStream refuses bad fields before it has read much', withFiles(async (files) => {
  let pieces = 0
  async function* long() {
    for (; pieces < 10; pieces++) yield LARGE
  }
  assert.equal((await caught(files.createFromStream({ ...meta, path: '' }, long()))).code, 'VALIDATION_ERROR')
  assert.ok(pieces < 10)
}))

test('a large content may have long fields and a size of its own', withFiles(async (files) => {
  const fields = { ...meta, summary: 's'.repeat(100_000), size: 7 }
  const { id } = await files.createFromStream(fields, [LARGE])
  const { summary, size, content } = (await files.getById(id))!
  assert.ok(summary === fields.summary && size === 7 && content === LARGE)
}))

test('a large content gets an id that no file has', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const next = storage.generateId() + 1
  const taken = Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [next + n, fileRecord(next + n, project.id)]))
  await files.writeAll(taken)
  const { id } = await files.createFromStream(meta, [LARGE])
  assert.ok(!(id in taken))
  const { content, ...file } = (await files.getById(id))!
  assert.deepEqual([file.id, file.size, content === LARGE], [id, LARGE.length, true])
  assert.equal((await files.list({ includeContent: false })).length, 3001)
}))

test('an aborted createFromStream leaves nothing behind, even if its source never answers', withFiles(async (files, base) => {
  const controller = new AbortController()
  async function* stuck() {
    yield 'a'.repeat(200_000)
    await new Promise(() => {})
  }
  const creating = caught(files.createFromStream(meta, stuck(), { signal: controller.signal }))
  await until('the spool', async () => (await spools(base)).length === 1)
  controller.abort(new Error('enough'))
  const error = await creating
  assert.deepEqual([error.code, error.cause.message], ['ABORTED', 'enough'])
  assert.deepEqual(await files.list(), [])
  await until('the spool to go', async () => (await spools(base)).length === 0)
}))

test('a damaged content fails the stream with CORRUPT_DATA', withFiles(async (files, base) => {
  const { id } = await files.create({ ...meta, content: 'x'.repeat(500_000) })
  const journals = (await readdir(join(dataPath(base), '.storage'))).filter((name) => name.startsWith('journal-'))
  const journal = await open(join(dataPath(base), '.storage', journals.at(-1)!), 'r+')
  const at = (await journal.readFile()).indexOf('x'.repeat(100))
  await journal.write('y', at + 400_000)
  await journal.close()
  const error = await caught(textOf(files.createContentStream(id)))
  assert.deepEqual([error.code, error.path], ['CORRUPT_DATA', join(dataPath(base), '.storage', journals.at(-1)!)])
}))

test('streams of a closed storage fail with CLOSED', withFiles(async (files) => {
  await files.close()
  assert.throws(() => files.createContentStream(1), { code: 'CLOSED' })
  assert.equal((await caught(files.createFromStream(meta, ['x']))).code, 'CLOSED')
}))

test('the spool that a process killed during a stream leaves is removed on the next open', withProject(async (storage, project, { base, open: reopen }) => {
  await storage.close()
  const { signal } = await runChild('streamer.mjs', [base, String(project.id)], { onLine: (_, kill) => kill() })
  assert.equal(signal, 'SIGKILL')
  assert.equal((await spools(base)).length, 1)
  const again = reopen()
  assert.deepEqual(await again.getProjectFiles(project.id), [])
  assert.deepEqual(await spools(base), [])
}))

test('createFromStream in a missing project fails with NOT_FOUND', withProject(async (storage) => {
  const error = await caught(storage.getFileStorage(5).createFromStream(meta, ['x']))
  assert.equal(error.code, 'NOT_FOUND')
}))

test('a source that throws when it is closed does not hide the original error', withFiles(async (files) => {
  const source = (next: () => Promise<IteratorResult<string>>) => ({
    [Symbol.asyncIterator]: () => ({
      next,
      return(): never {
        throw new Error('dismissed')
      },
    }),
  })
  const error = await caught(files.createFromStream(meta, source(async () => { throw new Error('the reason') })))
  assert.equal(error.message, 'the reason')
  const refused = await caught(files.createFromStream(meta, source(async () => ({ value: 5 as never, done: false }))))
  assert.equal(refused.code, 'INVALID_ARGUMENT')
}))

test('a content stream listens to its signal only while it reads', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: 'a' })
  const { signal, heard } = watchedSignal()
  const stream = files.createContentStream(id, { signal })
  assert.deepEqual(heard, [])
  const reader = stream.getReader()
  await reader.read()
  assert.deepEqual(heard, ['on', 'off', 'on', 'off'])
  await reader.cancel()
  await caught(textOf(files.createContentStream(4711, { signal })))
  assert.deepEqual(heard.slice(4), ['on', 'off'])
}))

test('a content stream whose signal is aborted between two reads gives no more', withFiles(async (files) => {
  const { id } = await files.create({ ...meta, content: 'x'.repeat(1 << 20) })
  const controller = new AbortController()
  const reader = files.createContentStream(id, { signal: controller.signal }).getReader()
  assert.equal((await reader.read()).done, false)
  controller.abort()
  assert.equal((await caught(reader.read())).code, 'ABORTED')
}))

for (const [what, end] of [
  ['read to its end', async (reader) => { while (!(await reader.read()).done); }],
  ['cancelled', (reader) => reader.cancel()],
  ['aborted', async (reader, controller) => {
    controller.abort()
    assert.equal((await caught(reader.read())).code, 'ABORTED')
  }],
] satisfies [string, (reader: ReadableStreamDefaultReader, controller: AbortController) => Promise<void>][]) {
  test(`a content stream that is ${what} closes the file that only it still needed`, withProject(async (storage, project, { base, open }) => {
    const replaced = async () => (await openFiles(base))?.filter((path) => path.endsWith('files.json (deleted)'))
    const files = storage.getFileStorage(project.id)
    const { id } = await files.create({ ...meta, content: 'x'.repeat(1 << 20) })
    const checkpoint = async () => {
      const other = open()
      await other.getFileStorage(project.id).update(id, { summary: 'seen' })
      await other.close()
    }
    await checkpoint()
    const controller = new AbortController()
    const reader = files.createContentStream(id, { signal: controller.signal }).getReader()
    await reader.read()
    await checkpoint()
    assert.equal((await replaced())?.length ?? 1, 1)
    await end(reader, controller)
    assert.deepEqual((await replaced()) ?? [], [])
  }))
}

test('a content stream that is aborted or cancelled while it reads closes its file', withProject(async (storage, project, { base }) => {
  if (process.platform !== 'linux') return
  const files = storage.getFileStorage(project.id)
  const { id } = await files.create({ ...meta, content: 'x'.repeat(3 << 20) })
  const readers: unknown[] = []
  for (let round = 0; round < 40; round += 1) {
    const controller = new AbortController()
    const reader = files.createContentStream(id, { signal: controller.signal }).getReader()
    const chunks = round % 4
    for (let chunk = 0; chunk < chunks; chunk += 1) await reader.read()
    // Only once the stream has turned to the next chunk does the last read begin at once.
    if (round % 8 > 3) await new Promise(setImmediate)
    const last = caught(reader.read())
    // By then, the call has reached another thread or not.
    for (let turn = 0; turn < round * 200; turn += 1) Math.hypot(turn, round)
    controller.abort()
    assert.equal((await last).code, 'ABORTED')
    const given = files.createContentStream(id).getReader()
    const first = given.read().catch(() => {})
    await given.cancel()
    await first
    readers.push(reader, given)
  }
  await storage.close()
  await until('all files to be closed', async () => !(await openFiles(base))?.length, 5000)
  assert.equal(readers.length, 80)
}))
