'use strict'

/**
 * The symbol of the method that `await using` calls. The contexts of `vm` lack it in older versions of Node; compilers that
 * provide for that use the symbol of this name.
 */
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

module.exports = { asyncDispose }
