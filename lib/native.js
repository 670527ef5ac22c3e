'use strict'

// The addon. Every module loads it from here, so that one place explains why it does not load.

function load() {
  let addon
  try {
    addon = require('../binding.js')
  } catch (error) {
    const { loadError } = require('./load-error.js')
    throw loadError(error)
  }
  if (addon.Port !== undefined) return addon
  const { replacedError } = require('./load-error.js')
  throw replacedError()
}

module.exports = load()
