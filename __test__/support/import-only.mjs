import '../../index.mjs'
