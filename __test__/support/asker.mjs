// Prints what the index `test` has for a key. Arguments: base path, the key as JSON.
import { IndexManager } from '../../index.mjs'

const indexes = new IndexManager(process.argv[2], 'data/things')
console.log(JSON.stringify(await indexes.query('test', JSON.parse(process.argv[3]))))
await indexes.close()
