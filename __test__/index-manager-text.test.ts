import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { caught } from './support/index.js'
import { addAll, withIndex } from './support/indexes.js'

/** Defines a test on texts with the ids 1, 2, 3 …; `found` holds what each query must find. */
const texts = (name: string, values: string[], found: Record<string, number[]>) =>
  test(name, withIndex('inverted', 'text', async (indexes) => {
    await addAll(indexes, values.map((text) => ({ text })))
    for (const [query, ids] of Object.entries(found)) assert.deepEqual(await indexes.searchText('test', query), ids, query)
  }))

describe('words', () => {
  texts('are separated by the rules of Unicode', ['The quick (brown) fox', "can't stop", 'naïve café', 'snake_case 3.14 a-b'], {
    quick: [1],
    brown: [1],
    "can't": [2],
    café: [3],
    naïve: [3],
    snake_case: [4],
    '3.14': [4],
    b: [4, 1],
    '(': [],
    '': [],
    '  ': [],
  })

  texts('match whatever their case', ['Straße in GRÖSSE', 'ΟΔΟΣ Ὀδυσσεύς', 'İstanbul DIYARBAKIR', 'Москва'], {
    STRASSE: [1],
    straße: [1],
    größe: [1],
    οδος: [2],
    ΟΔΥΣΣΕΥΣ: [],
    istanbul: [3],
    ISTANBUL: [3],
    diyarbakır: [3],
    МОСКВА: [4],
  })

  texts('match whether composed or decomposed, half or full width', ['caf\u00e9', 'cafe\u0301', 'ＡＢＣ'], {
    'caf\u00e9': [1, 2],
    'cafe\u0301': [1, 2],
    abc: [3],
  })

  texts('match by prefix', ['apple', 'application', 'pineapple'], {
    app: [1, 2],
    apple: [1],
    ple: [],
    applications: [],
  })

  texts('must all match', ['red apple', 'red pear', 'green apple'], {
    'red apple': [1],
    'apple red': [1],
    're app': [1],
    'red plum': [],
    red: [1, 2],
  })

  texts('rank by how well they match, ties by id', ['applet', 'an apple', 'apple apple', 'apple', 'applets applet applet'], {
    apple: [3, 2, 4, 5, 1],
  })

  texts('are found beside lone surrogates', ['left\ud83dright', '\ud83d'], { left: [1], 'left right': [1], '\ud83d': [] })

  texts('with a meaning in JavaScript are ordinary words', ['__proto__ constructor', 'null'], { __proto__: [1], constructor: [1], null: [2] })
})

describe('text without spaces', () => {
  texts('Japanese is found by its parts', ['検索エンジンを作る', '東京都に住む', '京都の寺'], {
    検索: [1],
    エンジン: [1],
    作る: [1],
    東京都: [2],
    京都: [2, 3],
    都: [2, 3],
    大阪: [],
    '検索 作る': [1],
  })

  texts('Chinese is found by its parts', ['北京大学图书馆', '大学生活'], { 大学: [1, 2], 图书馆: [1], 北京: [1], 学生: [2], 馆: [1] })

  texts('Korean words are found by prefix', ['한국어 검색 엔진', '한국 음식'], { 한국: [2, 1], 검색: [1], '한국 음식': [2] })

  texts('Thai is found by its parts', ['ภาษาไทยง่าย'], { ไทย: [1], ภาษา: [1] })

  texts('Japanese mixed with Latin words is found by both', ['Rustで書かれたDB'], { rust: [1], 書かれた: [1], db: [1] })
})

describe('an inverted index', () => {
  test('holds the words of all its fields, including arrays and numbers', withIndex('inverted', ['title', 'meta.tags', 'year'], async (indexes) => {
    await addAll(indexes, [{ title: 'Red', meta: { tags: ['sweet', 'sour'] }, year: 1984 }, { title: null, meta: 5 }])
    for (const word of ['red', 'sour', '1984', 'red sweet 1984']) assert.deepEqual(await indexes.searchText('test', word), [1], word)
    // The second entity has the key null.
    assert.deepEqual((await indexes.getIndexStats('test'))?.stats.uniqueKeys, 5)
  }))

  const missing: [entity: object, found: boolean][] = [
    [{}, true], [{ a: null }, true], [{ a: [null, 'word'], b: null }, true], [{ a: undefined, b: [null] }, true],
    [{ a: 'word' }, false], [{ a: '' }, false], [{ b: '…' }, false], [{ a: [] }, false], [{ a: {} }, false], [{ a: true }, false],
  ]
  for (const sparse of [false, true]) {
    test(`finds under null ${sparse ? 'nothing if it is sparse' : 'the entities in which all its fields are missing or null'}`, withIndex('inverted', ['a', 'b'], async (indexes, { open }) => {
      await addAll(indexes, missing.map(([entity]) => entity))
      const expected = missing.flatMap(([, found], at) => (found && !sparse ? [at + 1] : []))
      assert.deepEqual(await indexes.query('test', null), expected)
      await indexes.close()
      assert.deepEqual(await open().query('test', null), expected)
    }, { sparse }))
  }

  test('finds no longer under null what has got a value, nor what was removed', withIndex('inverted', 'a', async (indexes) => {
    await addAll(indexes, [{}, {}, {}])
    await indexes.addToIndex('test', 1, { a: 'word' })
    await indexes.removeFromIndex('test', 2)
    assert.deepEqual(await indexes.query('test', null), [3])
    await indexes.rebuildIndex('test', [{ id: 4 }, { id: 5, a: 'word' }])
    assert.deepEqual(await indexes.query('test', null), [4])
  }))

  test('finds under no text what it finds under null', withIndex('inverted', 'a', async (indexes) => {
    await addAll(indexes, [{ a: null }, { a: '' }])
    for (const text of ['', ' ', 'null', '…']) assert.deepEqual([await indexes.query('test', text), await indexes.searchText('test', text)], [[], []], text)
  }))

  test('answers query with the ids that searchText finds, in ascending order', withIndex('inverted', 'text', async (indexes) => {
    await addAll(indexes, [{ text: 'apples' }, { text: 'apple' }])
    assert.deepEqual(await indexes.searchText('test', 'apple'), [2, 1])
    assert.deepEqual(await indexes.query('test', 'apple'), [1, 2])
    assert.deepEqual(await indexes.query('test', null), [])
  }))

  test('forgets the words of an entity that is changed or removed', withIndex('inverted', 'text', async (indexes) => {
    await addAll(indexes, [{ text: 'old words' }, { text: 'other' }])
    await indexes.addToIndex('test', 1, { text: 'new words' })
    await indexes.removeFromIndex('test', 2)
    assert.deepEqual(await indexes.searchText('test', 'old'), [])
    assert.deepEqual(await indexes.searchText('test', 'other'), [])
    assert.deepEqual(await indexes.searchText('test', 'new words'), [1])
  }))

  test('accepts long texts', withIndex('inverted', 'text', async (indexes) => {
    const text = Array.from({ length: 50_000 }, (_, n) => `w${n.toString(36)}`).join(' ')
    await indexes.addToIndex('test', 1, { text })
    assert.deepEqual(await indexes.searchText('test', `w${(49_999).toString(36)}`), [1])
  }))
})

describe('searching words', () => {
  for (const type of ['hash', 'btree'] as const) {
    test(`is refused by a ${type} index`, withIndex(type, 'a', async (indexes) => {
      for (const _ of [1, 2]) {
        const error = await caught(indexes.searchText('test', 'a'))
        assert.equal(error.code, 'INDEX_TYPE')
        assert.match(error.message, new RegExp(`test is of type ${type}.*inverted`))
      }
    }))
  }

  test('accepts only strings', withIndex('inverted', 'a', async (indexes) => {
    for (const query of [undefined, null, 5, {}, ['a'], Symbol('s')] as any[]) {
      assert.equal((await caught(indexes.searchText('test', query))).code, 'INVALID_ARGUMENT')
    }
  }))
})
