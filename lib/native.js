'use strict'

// The addon. Every module loads it from here, so that one place explains why it does not load.

function load() {
  try {
    return require('../binding.js')
  } catch (error) {
    const { loadError } = require('./load-error.js')
    throw loadError(error)
  }
}

module.exports = load()
