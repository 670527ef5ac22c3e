// Prints what `import` and `require` of the package return.
import { createRequire } from 'node:module'
import * as byName from '@octoprompt/storage'
import * as fromCommonJs from '../../index.js'
import * as imported from '../../index.mjs'

const require = createRequire(import.meta.url)
const required = require('../../index.js')
const names = (module) => Object.keys(module).filter((name) => name !== 'default' && name !== 'module.exports').sort()
const modules = [byName, fromCommonJs, required]
const same = names(imported).every((name) => modules.every((module) => module[name] === imported[name]))
console.log(JSON.stringify({ imported: names(imported), required: names(required), same }))
