// Creates the index `test` anew, with another type and on another field, and adds an entity. Argument: base path.
import { IndexManager } from '../../index.mjs'

const indexes = new IndexManager(process.argv[2], 'data/things')
await indexes.dropIndex('test')
await indexes.createIndex({ name: 'test', type: 'btree', fields: ['b'] })
await indexes.addToIndex('test', 'other', { a: 1, b: 'x' })
await indexes.close()
