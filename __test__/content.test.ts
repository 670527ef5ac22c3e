import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { fileInput, filesPath, readJson, withProject } from './support/index.js'

const every = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => String.fromCharCode(from + n)).join('')

const contents: Record<string, string> = {
  'nothing': '',
  'a lone high surrogate': 'a\ud800b',
  'a lone low surrogate': '\udc00',
  'surrogates in the wrong order': '\udc00\ud800',
  'a surrogate at the end': 'text\udbff',
  'a pair beside lone ones': '\ud800🦀\udfff',
  'NUL characters': '\0a\0\0b\0',
  'U+2028 and U+2029': 'a\u2028b\u2029c',
  'every control character': every(0, 31) + every(127, 159),
  'quotes and backslashes': '"\\"\\\\u0041\\ud800\'`${x}',
  'line ends of every kind': 'a\nb\r\nc\rd\u0085e\v\f',
  'a byte order mark': '\ufefftext\ufeff',
  'combining characters, not normalised': 'e\u0301 é \u1e69 s\u0323\u0307',
  'characters outside the first plane': '🦀👩‍👩‍👧‍👦𝒳\u{10ffff}',
  'noncharacters': '\ufffe\uffff\ufdd0',
  'the replacement character': '\ufffd',
  'text that looks like JSON': '{"__proto__": {"id": 1}}, null]',
  'every unit of the surrogate block': every(0xd800, 0xdfff),
  'one character of Latin-1': 'é',
}

describe('content comes back identical', () => {
  for (const [what, content] of Object.entries(contents)) {
    test(what, withProject(async (storage, project, { open }) => {
      const created = await storage.addFile(project.id, fileInput('a.txt', content))
      const version = await storage.createFileVersion(project.id, created.id, `${content}2`)
      assert.equal(created.content, content)
      assert.equal((await storage.readProjectFile(project.id, created.id))?.content, content)
      await storage.close()
      const again = open()
      assert.equal((await again.readProjectFile(project.id, created.id))?.content, content)
      assert.equal((await again.readProjectFile(project.id, version.id))?.content, `${content}2`)
      assert.equal((await again.getProjectFiles(project.id))[0]?.content, content)
    }))
  }

  for (const [what, unit] of [['ASCII', 'abc'], ['umlauts', 'äöü'], ['mixed', 'a"\\\n日🦀\ud800\0']] as const) {
    test(`3 MB of ${what}`, withProject(async (storage, project, { open }) => {
      const content = unit.repeat(Math.ceil(3_000_000 / unit.length))
      const { id } = await storage.addFile(project.id, fileInput('large.txt', content))
      assert.ok((await storage.readProjectFile(project.id, id))?.content === content)
      await storage.close()
      assert.ok((await open().readProjectFile(project.id, id))?.content === content)
    }))
  }

  test('36 MB behind many shorter ones', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const [short, long] = ['a'.repeat(300_000), '€'.repeat(12 << 20)]
    const created = await files.createMany([...Array(5).fill(short), long].map((content, n) => fileInput(`${n}`, content)))
    assert.ok((await files.getById(created[5]!.id))?.content === long)
  }))

  test('a Date comes back as its stored string from every call that accepts it', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const date = () => new Date(5) as unknown as string
    const input = () => fileInput('a.txt', date())
    const created = await files.create(input())
    const given = input()
    const creating = files.create(given);
    (given.content as unknown as Date).setTime(0)
    const answers = [created, await creating, ...(await files.createMany([input()]))]
    answers.push((await files.update(created.id, { content: date() }))!, ...(await files.updateMany([{ id: created.id, data: { content: date() } }])))
    answers.push(...Object.values(await files.writeAll({ [created.id]: { ...created, content: date() } })), ...(await files.list()))
    assert.deepEqual(answers.map(({ content }) => content), answers.map(() => '1970-01-01T00:00:00.005Z'))
  }))

  test('all of these in one batch', withProject(async (storage, project, { open }) => {
    const all = Object.entries(contents)
    const files = storage.getFileStorage(project.id)
    const created = await files.createMany(all.map(([what]) => fileInput(what, 'before')))
    const patches = all.map(([, content], at) => ({ id: created[at]!.id, data: { content } }))
    const updated = await files.updateMany([...patches, { id: created[0]!.id, data: { summary: 'no content' } }])
    assert.deepEqual(updated.map(({ content }) => content), [...Object.values(contents), ''])
    assert.equal(updated.at(-1)?.summary, 'no content')

    const map = Object.fromEntries(updated.map((file, at) => [file.id, { ...file, content: `${all.at(at - 1)![1]}!` }]))
    const written = await files.writeAll(map)
    assert.deepEqual(written, map)
    const listed = await files.list()
    assert.deepEqual(Object.fromEntries(listed.map((file) => [file.id, file])), map)
    assert.deepEqual(await files.list(), listed)
    await storage.close()
    const again = open().getFileStorage(project.id)
    for (let time = 0; time < 3; time++) assert.deepEqual(await again.list(), listed)
  }))

  test('when JSON.parse reads the file on disk', withProject(async (storage, project, { base }) => {
    const files = await storage.getFileStorage(project.id).createMany(
      Object.entries(contents).map(([what, content]) => fileInput(what, content)),
    )
    await storage.close()
    const map = await readJson(filesPath(base, project.id))
    for (const { id, content } of files) assert.equal(map[id]?.content, content)
  }))
})

describe('size and checksum of content', () => {
  for (const [content, bytes] of [['', ''], ['aé日🦀', 'aé日🦀'], ['a\ud800b', 'a\ufffdb'], ['\0', '\0']] as const) {
    test(`are those of its UTF-8: ${JSON.stringify(content)}`, withProject(async (storage, project) => {
      const { id } = await storage.addFile(project.id, fileInput('a', 'first'))
      const version = await storage.createFileVersion(project.id, id, content)
      assert.equal(version.size, Buffer.byteLength(bytes))
      assert.equal(version.checksum, createHash('sha256').update(bytes).digest('hex'))
    }))
  }
})

describe('other text fields come back identical too', () => {
  for (const text of ['\ud800', 'a\0b', '\u2028', '"\\', '🦀']) {
    test(JSON.stringify(text), withProject(async (storage, _project, { open }) => {
      const project = await storage.create({ name: `n${text}`, path: `p${text}`, description: text })
      const fields = { name: `n${text}`, path: `f${text}`, content: '', summary: text, meta: text }
      const file = await storage.addFile(project.id, fields)
      assert.deepEqual(await storage.findByName(`n${text}`), [project])
      await storage.close()
      const again = open()
      assert.deepEqual(await again.getById(project.id), project)
      assert.deepEqual(await again.getByPath(`p${text}`), project)
      const { name, path, content, summary, meta } = (await again.readProjectFile(project.id, file.id))!
      assert.deepEqual({ name, path, content, summary, meta }, fields)
      assert.equal((await again.getFileStorage(project.id).getByPath(`f${text}`))?.id, file.id)
    }))
  }
})
