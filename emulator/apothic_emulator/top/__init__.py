"""What a person looks at who wants to know what runs: `apothic top`, `apothic gpu`."""
