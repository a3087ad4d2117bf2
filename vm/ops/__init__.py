"""The instructions, one module a family; vm.opcodes says which is which."""
